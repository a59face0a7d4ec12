# How long is a round trip between two processes that block on each other?
defmodule Bench.Pingpong do
  import Bench.Report

  @samples 20

  def main do
    trips = scaled(2_000_000)
    ops = div(trips, @samples)

    taken =
      ns_per_op(@samples, ops, fn ->
        echo = spawn_link(&echo/0)
        check(trip(echo, ops, 0) == ops, "the count of the trips")
        Process.unlink(echo)
        Process.exit(echo, :kill)
      end)

    report("pingpong", "ns/op", taken, %{trips: trips})
  end

  defp echo do
    receive do
      {from, value} -> send(from, value + 1)
    end

    echo()
  end

  defp trip(_echo, 0, value), do: value

  defp trip(echo, left, value) do
    send(echo, {self(), value})

    receive do
      answer -> trip(echo, left - 1, answer)
    end
  end
end
