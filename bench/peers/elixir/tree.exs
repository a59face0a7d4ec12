# How long does it take to start 100,000 children under a supervisor, and to stop them in order?
defmodule Bench.Tree.Server do
  use GenServer

  def start_link(_), do: GenServer.start_link(__MODULE__, nil)
  def init(nil), do: {:ok, nil}
end

defmodule Bench.Tree do
  import Bench.Report

  @samples 3

  def main do
    children = scaled(100_000)
    run(children)
    runs = for _ <- 1..@samples, do: run(children)
    report("tree_start", "ms", Enum.map(runs, &elem(&1, 0)), %{children: children})
    report("tree_stop", "ms", Enum.map(runs, &elem(&1, 1)), %{children: children})
  end

  defp run(children) do
    {:ok, sup} = DynamicSupervisor.start_link(strategy: :one_for_one)
    begun = System.monotonic_time()

    for _ <- 1..children do
      {:ok, _} = DynamicSupervisor.start_child(sup, Bench.Tree.Server)
    end

    up = System.monotonic_time()
    check(DynamicSupervisor.count_children(sup).active == children, "children")
    stopping = System.monotonic_time()
    DynamicSupervisor.stop(sup)
    down = System.monotonic_time()
    {ms(up - begun), ms(down - stopping)}
  end

  defp ms(native), do: System.convert_time_unit(native, :native, :nanosecond) / 1.0e6
end
