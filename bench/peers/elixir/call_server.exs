# What the call rows share: a server that counts its calls; the answer is the request plus one.
defmodule Bench.CallServer do
  use GenServer
  import Bench.Report

  def start do
    {:ok, server} = GenServer.start_link(__MODULE__, nil)
    server
  end

  # n calls, each with what the one before answered.
  def call_in_a_row(server, n) do
    check(Enum.reduce(1..n//1, 0, fn _, value -> GenServer.call(server, value) end) == n, "the count of the calls")
  end

  @impl true
  def init(nil), do: {:ok, {0, 0}}

  @impl true
  def handle_call(value, _from, {n, sum}), do: {:reply, value + 1, {n + 1, sum + value}}
end
