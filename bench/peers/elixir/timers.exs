# What CPU do a million timed messages take, and how late do a hundred thousand arrive?
#
# A delay is a whole number of milliseconds, hashed over 0..2000, so that they
# are not set in the order they are due.
defmodule Bench.Timers do
  import Bench.Report

  @spread_ms 2000

  def main do
    samples = if quick?(), do: 1, else: 3
    {many, few} = {scaled(1_000_000), scaled(100_000)}

    in_fresh_process(fn -> cpu_used(div(many, 10)) end)

    taken =
      for _ <- 1..samples do
        cpu = in_fresh_process(fn -> cpu_used(many) end)
        late = in_fresh_process(fn -> lateness_ms(few) end)
        [cpu, at(late, 0.5), at(late, 0.99)]
      end

    [cpu, p50, p99] = Enum.zip_with(taken, & &1)

    report("timers_cpu", "s", cpu, %{timers: many, spread_ms: @spread_ms})
    report("timers_late_p50", "ms", p50, %{timers: few, spread_ms: @spread_ms})
    report("timers_late_p99", "ms", p99, %{timers: few, spread_ms: @spread_ms})
  end

  defp delay(i), do: rem(i * 7919, @spread_ms + 1)

  # From the first timer set to the last message received.
  defp cpu_used(timers) do
    before = cpu_seconds()
    set(timers)
    check(sum(timers, 0) == div(timers * (timers + 1), 2), "the sum of the messages")
    cpu_seconds() - before
  end

  defp set(0), do: :ok

  defp set(i) do
    Process.send_after(self(), i, delay(i))
    set(i - 1)
  end

  defp sum(0, total), do: total

  defp sum(left, total) do
    receive do
      i -> sum(left - 1, total + i)
    end
  end

  # By how much each message was late when it was received, sorted.
  defp lateness_ms(timers) do
    for i <- 1..timers do
      due = System.monotonic_time(:nanosecond) + delay(i) * 1_000_000
      Process.send_after(self(), due, delay(i))
    end

    late =
      for _ <- 1..timers do
        receive do
          due -> (System.monotonic_time(:nanosecond) - due) / 1.0e6
        end
      end

    sorted = Enum.sort(late)
    check(hd(sorted) >= 0, "no message came early")
    sorted
  end
end
