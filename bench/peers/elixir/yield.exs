# What does a turn cost when two processes yield to each other on one scheduler?
#
# Pin the program to one core, so that there is one scheduler.
defmodule Bench.Yield do
  import Bench.Report

  @samples 10

  def main do
    yields = scaled(10_000_000)
    ops = div(yields, @samples)

    check(System.schedulers_online() == 1, "one scheduler; start it on one core")
    taken = ns_per_op(@samples, ops, fn -> take_turns(div(ops, 2)) end)
    report("yield", "ns/op", taken, %{yields: yields})
  end

  # Two that took turns end at nearly the same time.
  defp take_turns(each) do
    parent = self()
    start = System.monotonic_time()

    for _ <- 1..2 do
      spawn(fn ->
        turn(each)
        send(parent, {:ended, System.monotonic_time()})
      end)
    end

    first = receive do: ({:ended, time} -> time - start)
    second = receive do: ({:ended, time} -> time - start)
    check(abs(first - second) < max(first, second) / 10, "turns")
  end

  defp turn(0), do: :ok

  defp turn(left) do
    :erlang.yield()
    turn(left - 1)
  end
end
