# How long does a token take from one process to the next around a ring of a thousand?
defmodule Bench.Ring do
  import Bench.Report

  @members 1000
  @samples 20

  def main do
    hops = scaled(5_000_000)
    ops = div(hops, @samples)
    first = start()

    taken =
      ns_per_op(@samples, ops, fn ->
        send(first, {ops, self()})

        receive do
          place -> check(place == rem(ops, @members), "the place where the token ended")
        end
      end)

    report("ring", "ns/op", taken, %{hops: hops, members: @members})
  end

  # The last member is started first; the first closes the ring.
  defp start do
    first = spawn(fn -> receive do: ({:next, next} -> member(next, 0)) end)
    second = Enum.reduce((@members - 1)..1, first, &spawn(fn -> member(&2, &1) end))
    send(first, {:next, second})
    first
  end

  defp member(next, place) do
    receive do
      {0, report_to} -> send(report_to, place)
      {left, report_to} -> send(next, {left - 1, report_to})
    end

    member(next, place)
  end
end
