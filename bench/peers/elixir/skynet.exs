# How long until a tree of processes with a million leaves has summed itself up?
defmodule Bench.Skynet do
  import Bench.Report

  @fan_out 10
  @samples 3

  def main do
    leaves = scaled(1_000_000)

    taken =
      ns_per_op(@samples, 1_000_000, fn ->
        parent = self()
        spawn(fn -> node(parent, 0, leaves) end)
        check(sum(1, 0) == div(leaves * (leaves - 1), 2), "the sum of the leaves")
      end)

    report("skynet", "ms", taken, %{leaves: leaves, fan_out: @fan_out})
  end

  defp node(parent, first, 1), do: send(parent, first)

  defp node(parent, first, size) do
    me = self()
    below = div(size, @fan_out)
    for i <- 0..(@fan_out - 1), do: spawn(fn -> node(me, first + i * below, below) end)
    send(parent, sum(@fan_out, 0))
  end

  defp sum(0, total), do: total

  defp sum(left, total) do
    receive do
      value -> sum(left - 1, total + value)
    end
  end
end
