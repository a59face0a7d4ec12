# What does a message cost when a hundred processes send to one?
defmodule Bench.FanIn do
  import Bench.Report

  @senders 100
  @samples 10

  def main do
    each = scaled(20_000)
    ops = @senders * each

    taken =
      ns_per_op(@samples, ops, fn ->
        receiver = self()
        for _ <- 1..@senders, do: spawn(fn -> feed(receiver, each) end)
        check(sum(ops, 0) == @senders * div(each * (each + 1), 2), "the sum of the messages")
      end)

    report("fan_in", "ns/op", taken, %{senders: @senders, each: each})
  end

  defp feed(_receiver, 0), do: :ok

  defp feed(receiver, i) do
    send(receiver, i)
    feed(receiver, i - 1)
  end

  defp sum(0, total), do: total

  defp sum(left, total) do
    receive do
      value -> sum(left - 1, total + value)
    end
  end
end
