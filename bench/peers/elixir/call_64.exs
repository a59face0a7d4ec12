# How long does GenServer.call take, per call, with 64 clients at once?
defmodule Bench.Call64 do
  import Bench.Report
  alias Bench.CallServer

  @samples 20
  @clients 64

  def main do
    calls = scaled(1_000_000)
    ops = div(div(calls, @samples), @clients)
    server = CallServer.start()

    taken =
      ns_per_op(@samples, ops * @clients, fn ->
        1..@clients
        |> Enum.map(fn _ -> Task.async(fn -> CallServer.call_in_a_row(server, ops) end) end)
        |> Task.await_many(:infinity)
      end)

    report("call_64", "ns/op", taken, %{calls: calls, clients: @clients})
  end
end
