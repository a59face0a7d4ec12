# How much memory does a process hold that waits in the middle of a function?
defmodule Bench.IdleStacks do
  def main do
    parent = self()

    Bench.Idle.measure(
      "idle_stacks",
      fn i ->
        spawn(fn -> caller(parent, i) end)
        receive do: (:waits -> :ok)
      end,
      fn pid ->
        send(pid, {self(), :state})
        receive do: ({^pid, state} -> state)
      end
    )
  end

  # Has a frame of its own that must outlive the wait.
  defp caller(parent, i) do
    from = wait_inside(parent)
    send(from, {self(), i})
  end

  defp wait_inside(parent) do
    send(parent, :waits)
    receive do: ({from, :state} -> from)
  end
end
