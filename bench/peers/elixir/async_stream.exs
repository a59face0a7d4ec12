# What does an item cost in a stream of trivial tasks, four at once, ordered and unordered?
defmodule Bench.AsyncStream do
  import Bench.Report

  @at_once 4
  @samples 5

  def main do
    measure("async_stream", true)
    measure("async_stream_unordered", false)
  end

  defp measure(bench, ordered?) do
    items = scaled(200_000)

    taken =
      ns_per_op(@samples, items, fn ->
        sum =
          1..items
          |> Task.async_stream(&(&1 + 1), max_concurrency: @at_once, ordered: ordered?)
          |> Enum.reduce(0, fn {:ok, value}, sum -> sum + value end)

        check(sum == div(items * (items + 3), 2), "the sum of the stream")
      end)

    report(bench, "ns/op", taken, %{items: items, max_concurrency: @at_once})
  end
end
