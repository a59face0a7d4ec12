# How much memory does an idle GenServer hold, and how fast do a million start?
defmodule Bench.ServersIdle do
  use GenServer

  def main do
    Bench.Idle.measure(
      "servers_idle",
      fn i -> {:ok, _pid} = GenServer.start(__MODULE__, i) end,
      fn pid -> GenServer.call(pid, :state) end
    )
  end

  @impl true
  def init(state), do: {:ok, state}

  @impl true
  def handle_call(:state, _from, state), do: {:reply, state, state}
end
