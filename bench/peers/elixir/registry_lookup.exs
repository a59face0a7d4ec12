# How long does a lookup in a registry of 100,000 names take, in each of two processes at once?
defmodule Bench.RegistryLookup do
  import Bench.Report

  @samples 20
  @names 100_000
  @readers 2
  @stride 7919

  def main do
    ops = div(scaled(10_000_000), @samples)
    {:ok, _} = Registry.start_link(name: Names, keys: :unique)
    for i <- 0..(@names - 1), do: {:ok, _} = Registry.register(Names, i, nil)

    taken = ns_per_op(@samples, ops, fn -> lookups(ops) end)
    report("registry_lookup", "ns/op", taken, %{names: @names, readers: @readers})
  end

  defp lookups(n) do
    0..(@readers - 1)
    |> Enum.map(fn i -> Task.async(fn -> look_up(i, n, 0) end) end)
    |> Task.await_many(:infinity)
    |> Enum.each(&check(&1 == n, "#{&1} of #{n} names found"))
  end

  defp look_up(_name, 0, found), do: found

  defp look_up(name, n, found) do
    [{_pid, _value}] = Registry.lookup(Names, name)
    look_up(rem(name + @stride, @names), n - 1, found + 1)
  end
end
