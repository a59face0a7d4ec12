# What does a supervised task cost that raises, seen as a DOWN by who started it?
defmodule Bench.CrashExit do
  import Bench.Report

  @batch 1000
  @samples 20

  def main do
    Logger.configure(level: :none)
    {:ok, supervisor} = Task.Supervisor.start_link()
    crashes = scaled(200_000)
    ops = div(crashes, @samples)

    taken = ns_per_op(@samples, ops, fn -> crash_batches(supervisor, div(ops, @batch)) end)
    report("crash_exit", "ns/op", taken, %{crashes: crashes, batch: @batch})
  end

  defp crash_batches(_supervisor, 0), do: :ok

  defp crash_batches(supervisor, left) do
    for i <- 1..@batch, do: Task.Supervisor.async_nolink(supervisor, fn -> raise "boom #{i}" end)
    check(downs(@batch, 0) == @batch, "the ends of a batch")
    crash_batches(supervisor, left - 1)
  end

  defp downs(0, n), do: n

  defp downs(left, n) do
    receive do
      {:DOWN, _, :process, _, {%RuntimeError{}, _}} -> downs(left - 1, n + 1)
    end
  end
end
