# What does it cost to start a task and await its result, a thousand at a time?
defmodule Bench.SpawnJoin do
  import Bench.Report

  @batch 1000
  @samples 20

  def main do
    tasks = scaled(1_000_000)
    ops = div(tasks, @samples)

    taken = ns_per_op(@samples, ops, fn -> join_batches(div(ops, @batch)) end)
    report("spawn_join", "ns/op", taken, %{tasks: tasks, batch: @batch})
  end

  defp join_batches(0), do: :ok

  defp join_batches(left) do
    tasks = for i <- 1..@batch, do: Task.async(fn -> i + 1 end)
    check(Task.await_many(tasks) == Enum.to_list(2..(@batch + 1)), "a batch of tasks")
    join_batches(left - 1)
  end
end
