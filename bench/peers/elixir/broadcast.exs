# What does it cost to broadcast to ten thousand subscribers, for each delivery and its receipt?
# As Phoenix.PubSub does it on one node: a registry of duplicate keys, dispatched to.
defmodule Bench.Broadcast do
  import Bench.Report

  @samples 10
  @subscribers 10_000

  def main do
    rounds = scaled(20)
    partitions = max(div(System.schedulers_online() + 3, 4), 1)
    {:ok, _} = Registry.start_link(name: PubSub, keys: :duplicate, partitions: partitions)
    parent = self()

    for _ <- 1..@subscribers do
      spawn_link(fn ->
        {:ok, _} = Registry.register(PubSub, :topic, nil)
        send(parent, :ready)
        read(0)
      end)

      receive do: (:ready -> :ok)
    end

    taken = ns_per_op(@samples, @subscribers * rounds, fn -> broadcast(rounds) end)
    report("broadcast", "ns/op", taken, %{subscribers: @subscribers, broadcasts: @samples * rounds})
  end

  # {:news, i, teller}: at the last one, whose teller is a pid, a subscriber says what it received.
  defp read(sum) do
    receive do
      {:news, i, teller} when is_pid(teller) ->
        send(teller, sum + i)
        read(0)

      {:news, i, _nobody} ->
        read(sum + i)
    end
  end

  defp broadcast(rounds) do
    for i <- 1..rounds do
      message = {:news, i, if(i == rounds, do: self(), else: :nobody)}

      Registry.dispatch(PubSub, :topic, fn entries ->
        for {pid, _} <- entries, do: send(pid, message)
      end)
    end

    check(sum(@subscribers, 0) == @subscribers * div(rounds * (rounds + 1), 2), "the sum of what was received")
  end

  defp sum(0, total), do: total

  defp sum(left, total) do
    receive do
      value -> sum(left - 1, total + value)
    end
  end
end
