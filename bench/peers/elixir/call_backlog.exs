# What does a call cost with many unrelated messages in the caller's mailbox?
defmodule Bench.CallBacklog do
  import Bench.Report
  alias Bench.CallServer

  @samples 20

  def main do
    ops = div(scaled(200_000), @samples)
    server = CallServer.start()

    for {held, name} <- [{10_000, "call_backlog_10k"}, {500_000, "call_backlog_500k"}] do
      none = for _ <- 1..@samples, do: sample(server, ops, 0)
      many = for _ <- 1..@samples, do: sample(server, ops, held)

      report(name, "ns/op", many, %{held: held})
      report(name <> "_ratio", "ratio", [median(many) / median(none)], %{held: held})
    end
  end

  defp sample(server, ops, held) do
    in_fresh_process(fn ->
      for i <- 1..held//1, do: send(self(), i)
      CallServer.call_in_a_row(server, ops)
      start = System.monotonic_time(:nanosecond)
      CallServer.call_in_a_row(server, ops)
      (System.monotonic_time(:nanosecond) - start) / ops
    end)
  end

  defp median(taken), do: taken |> Enum.sort() |> at(0.5)
end
