# How long does it take to register a name and to take it back?
defmodule Bench.RegistryChurn do
  import Bench.Report

  @samples 20

  def main do
    ops = div(scaled(2_000_000), @samples)
    {:ok, _} = Registry.start_link(name: Names, keys: :unique)

    taken = ns_per_op(@samples, ops, fn -> churn(ops) end)
    report("registry_churn", "ns/op", taken, %{names: ops * @samples})
  end

  defp churn(0), do: check(Registry.count(Names) == 0, "names are left")

  defp churn(i) do
    {:ok, _} = Registry.register(Names, i, nil)
    :ok = Registry.unregister(Names, i)
    churn(i - 1)
  end
end
