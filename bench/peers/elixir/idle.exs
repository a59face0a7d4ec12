# What the rows about idle processes share: start them all, weigh them, ask them all.
#
# One sample a run: memory given back stays with the emulator, so a second
# sample in the same program would measure the first one's.
defmodule Bench.Idle do
  import Bench.Report

  # `start` makes idle process i and returns when it waits; `ask` gets i back
  # from the process. Handles are not kept: they would be counted too.
  def measure(bench, start, ask) do
    idle = scaled(1_000_000)
    others = MapSet.new(Process.list())

    before = resident_bytes()
    began = System.monotonic_time(:nanosecond)
    start_all(start, idle)
    took = System.monotonic_time(:nanosecond) - began
    each = (resident_bytes() - before) / idle

    started = for pid <- Process.list(), pid not in others, do: pid
    total = Enum.reduce(started, 0, fn pid, total -> total + ask.(pid) end)
    check(total == div(idle * (idle + 1), 2), "the sum of the answers of #{length(started)}")
    report(bench, "bytes", [each], %{idle: idle})
    report(bench <> "_start", "s", [took / 1.0e9], %{idle: idle})
  end

  defp start_all(_start, 0), do: :ok

  defp start_all(start, i) do
    start.(i)
    start_all(start, i - 1)
  end
end
