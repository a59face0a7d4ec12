# How late does a process that sleeps a millisecond wake beside four that never yield?
defmodule Bench.Fairness do
  import Bench.Report

  @hogs 4
  @warm_up 50

  def main do
    n = scaled(1000)
    hogs = for _ <- 1..@hogs, do: spawn(&hog/0)
    for _ <- 1..@warm_up, do: late_ms()

    taken =
      for _ <- 1..5 do
        late = Enum.sort(for _ <- 1..n, do: late_ms())
        check(hd(late) >= 0, "none wakes early")
        [at(late, 0.5), at(late, 0.99), List.last(late)]
      end

    for pid <- hogs, do: Process.exit(pid, :kill)
    [p50, p99, most] = Enum.zip_with(taken, & &1)
    report("fairness_p50", "ms", p50, %{hogs: @hogs, sleeps: n})
    report("fairness_p99", "ms", p99, %{hogs: @hogs, sleeps: n})
    report("fairness_max", "ms", most, %{hogs: @hogs, sleeps: n})
  end

  defp hog, do: hog()

  defp late_ms do
    due = System.monotonic_time(:nanosecond) + 1_000_000
    Process.sleep(1)
    (System.monotonic_time(:nanosecond) - due) / 1.0e6
  end
end
