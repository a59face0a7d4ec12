# What every Elixir peer shares: taking samples, checking, and the two lines a row prints.
#
# A row is a module of its own, compiled like this one, so that nothing timed is evaluated:
#
#     elixirc -o DIR report.exs pingpong.exs
#     elixir --erl "+P 2097152" -pa DIR -e 'Bench.Pingpong.main()' -- --quick
defmodule Bench.Report do
  # A look rather than a figure: a tenth of the work.
  def quick?, do: "--quick" in System.argv()

  def scaled(full), do: if(quick?(), do: div(full, 10), else: full)

  # Ends the program when the work was not really done.
  def check(true, _what), do: :ok

  def check(false, what) do
    IO.puts(:stderr, "check failed: " <> what)
    System.halt(1)
  end

  # Runs `work` once to warm up, then `samples` times, each in a fresh process;
  # the nanoseconds per operation of each. `work` does `ops` operations and checks them.
  def ns_per_op(samples, ops, work) do
    timed(work)
    for _ <- 1..samples, do: timed(work) / ops
  end

  defp timed(work) do
    in_fresh_process(fn ->
      start = System.monotonic_time(:nanosecond)
      work.()
      System.monotonic_time(:nanosecond) - start
    end)
  end

  # A sample must not pay for what an earlier one left in the heap.
  def in_fresh_process(work) do
    {pid, monitor} = spawn_monitor(fn -> exit({:sample, work.()}) end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, {:sample, result}} -> result
      {:DOWN, ^monitor, :process, ^pid, reason} -> check(false, inspect(reason))
    end
  end

  # CPU time of the whole program, user and system, in seconds; statistics/1
  # counts the user part only. A thread's first number is its time in ns.
  def cpu_seconds do
    for path <- Path.wildcard("/proc/self/task/*/schedstat"), reduce: 0.0 do
      total -> total + (path |> File.read!() |> Integer.parse() |> elem(0)) / 1.0e9
    end
  end

  # Memory in use and the page tables that map it.
  def resident_bytes do
    status = File.read!("/proc/self/status")

    for [_, kib] <- Regex.scan(~r/^Vm(?:RSS|PTE):\s+(\d+) kB$/m, status), reduce: 0 do
      total -> total + String.to_integer(kib) * 1024
    end
  end

  # The value a fraction of the way through sorted samples (nearest rank).
  def at(sorted, fraction), do: Enum.at(sorted, round(fraction * (length(sorted) - 1)))

  # Prints a row: for people on stderr, for the runner on stdout.
  def report(bench, unit, taken, params, impl \\ "elixir") do
    sorted = Enum.sort(taken)
    {low, high} = {hd(sorted), List.last(sorted)}
    {median, p90} = {at(sorted, 0.5), at(sorted, 0.9)}

    params =
      Map.merge(params, %{
        quick: quick?(),
        workers: System.schedulers_online(),
        version: System.version(),
        otp: System.otp_release()
      })

    :io.format(
      :standard_error,
      "~-22s ~-7s ~10.2f ~s, p90 ~.2f, range ~.2f to ~.2f, ~b samples~n",
      [bench, impl, median * 1.0, unit, p90 * 1.0, low * 1.0, high * 1.0, length(sorted)]
    )

    fields = [
      bench: bench,
      impl: impl,
      unit: unit,
      median: median,
      p10: at(sorted, 0.1),
      p90: p90,
      min: low,
      max: high,
      samples: length(sorted),
      params: params
    ]

    IO.puts(json(fields))
  end

  # As much of JSON as a row needs; Elixir 1.14 brings none of its own.
  defp json(fields) when is_map(fields) or is_list(fields) do
    "{" <> Enum.map_join(fields, ",", fn {key, value} -> ~s("#{key}":#{json(value)}) end) <> "}"
  end

  defp json(text) when is_binary(text), do: ~s("#{text}")
  defp json(value) when is_boolean(value), do: to_string(value)
  defp json(number) when is_number(number), do: to_string(number)
end
