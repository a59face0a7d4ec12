# What does a bare spawn cost whose only act is to send one integer back?
defmodule Bench.SpawnRaw do
  import Bench.Report

  @batch 1000
  @samples 20

  def main do
    spawns = scaled(1_000_000)
    ops = div(spawns, @samples)

    taken = ns_per_op(@samples, ops, fn -> spawn_batches(div(ops, @batch)) end)
    report("spawn_raw", "ns/op", taken, %{spawns: spawns, batch: @batch})
  end

  defp spawn_batches(0), do: :ok

  defp spawn_batches(left) do
    parent = self()
    start(parent, @batch)
    check(sum(@batch, 0) == div(@batch * (@batch + 1), 2), "the sum of a batch")
    spawn_batches(left - 1)
  end

  defp start(_parent, 0), do: :ok

  defp start(parent, i) do
    spawn(fn -> send(parent, i) end)
    start(parent, i - 1)
  end

  defp sum(0, total), do: total

  defp sum(left, total) do
    receive do
      value -> sum(left - 1, total + value)
    end
  end
end
