# How long does GenServer.call take with one client?
defmodule Bench.Call do
  import Bench.Report
  alias Bench.CallServer

  @samples 20

  def main do
    calls = scaled(1_000_000)
    ops = div(calls, @samples)
    server = CallServer.start()

    taken = ns_per_op(@samples, ops, fn -> CallServer.call_in_a_row(server, ops) end)
    report("call", "ns/op", taken, %{calls: calls, clients: 1})
  end
end
