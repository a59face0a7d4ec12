# How long from the crash of a child to the answer of the one that was started in its place?
defmodule Bench.Restart.Server do
  use GenServer

  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)
  def init(nil), do: {:ok, nil}
  def handle_call(request, _from, state), do: {:reply, request, state}
  def handle_cast(:crash, _state), do: exit(:boom)
end

defmodule Bench.Restart do
  import Bench.Report
  alias Bench.Restart.Server

  @samples 5

  def main do
    Logger.configure(level: :none)
    restarts = scaled(20_000)

    {:ok, _} =
      Supervisor.start_link([Server],
        strategy: :one_for_one,
        max_restarts: 1_000_000_000,
        max_seconds: 1
      )

    run(restarts)
    runs = for _ <- 1..@samples, do: run(restarts)
    report("restart_p50", "us", Enum.map(runs, &at(&1, restarts, 0.5)), %{restarts: restarts})
    report("restart_p99", "us", Enum.map(runs, &at(&1, restarts, 0.99)), %{restarts: restarts})
  end

  defp at(sorted, n, fraction), do: Enum.at(sorted, trunc(fraction * (n - 1)))

  defp run(restarts), do: Enum.sort(for _ <- 1..restarts, do: restart_once())

  defp restart_once do
    old = Process.whereis(Server)
    begun = System.monotonic_time()
    GenServer.cast(old, :crash)
    hello(old)
    System.convert_time_unit(System.monotonic_time() - begun, :native, :nanosecond) / 1000
  end

  defp hello(old) do
    case Process.whereis(Server) do
      pid when is_pid(pid) and pid != old ->
        try do
          :hello = GenServer.call(pid, :hello)
        catch
          :exit, _ -> hello(old)
        end

      _ ->
        hello(old)
    end
  end
end
