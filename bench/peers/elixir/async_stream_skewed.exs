# How near to the work itself does a stream get whose items take 0 to 15 us of CPU?
#
# Item i spins by the clock for i * 7919 mod 15001 ns, 7.5 us on average.
defmodule Bench.AsyncStreamSkewed do
  import Bench.Report

  @at_once 4
  @samples 10

  def main do
    items = scaled(20_000)

    taken =
      ns_per_op(@samples, items, fn ->
        last =
          0..(items - 1)
          |> Task.async_stream(&spin/1, max_concurrency: @at_once, ordered: true)
          |> Enum.reduce(0, fn {:ok, value}, before ->
            check(value == before + 1, "the order of the stream")
            value
          end)

        check(last == items, "the length of the stream")
      end)

    taken = for ns <- taken, do: ns / 1000
    report("async_stream_skewed", "us/op", taken, %{items: items, max_concurrency: @at_once})
  end

  defp spin(i) do
    spin_until(System.monotonic_time(:nanosecond) + rem(i * 7919, 15001))
    i + 1
  end

  defp spin_until(deadline) do
    if System.monotonic_time(:nanosecond) < deadline, do: spin_until(deadline), else: :ok
  end
end
