# How many pages of 1 KiB does a client on one core fetch in a second, 64 at once?
#
# Twice: with httpc, the client that comes with OTP, and (elixir_raw) over bare
# sockets with no more HTTP than this server needs, for the order of what is possible.
defmodule Bench.HttpFetch do
  import Bench.Report

  @at_once 64
  @page 1024
  @samples 5

  def main do
    url = System.get_env("WEFT_BENCH_URL", "")
    check(url != "", "WEFT_BENCH_URL says which page to fetch")
    {:ok, _} = Application.ensure_all_started(:inets)
    :ok = :httpc.set_options(max_sessions: @at_once, max_keep_alive_length: 0)

    measure("elixir", &httpc_fetcher(String.to_charlist(url), &1, &2))
    measure("elixir_raw", &raw_fetcher(URI.parse(url), &1, &2))
  end

  defp measure(impl, fetcher) do
    pages = scaled(20_000)
    fetch_all(pages, fetcher)

    {rate, cpu} =
      Enum.unzip(
        for _ <- 1..@samples do
          {start, used} = {System.monotonic_time(:nanosecond), cpu_seconds()}
          fetch_all(pages, fetcher)
          took = System.monotonic_time(:nanosecond) - start
          {pages * 1.0e9 / took, (cpu_seconds() - used) * 1.0e6 / pages}
        end
      )

    report("http_fetch", "req/s", rate, %{pages: pages, at_once: @at_once}, impl)
    report("http_fetch_cpu", "cpu_us/req", cpu, %{pages: pages, at_once: @at_once}, impl)
  end

  # Each fetcher takes pages from one counter until all are fetched.
  defp fetch_all(pages, fetcher) do
    taken = :atomics.new(1, [])

    fetched =
      1..@at_once
      |> Enum.map(fn _ -> Task.async(fn -> fetcher.(taken, pages) end) end)
      |> Task.await_many(:infinity)
      |> Enum.sum()

    check(fetched == pages, "#{fetched} pages fetched")
  end

  defp more?(taken, pages), do: :atomics.add_get(taken, 1, 1) <= pages

  defp httpc_fetcher(url, taken, pages, fetched \\ 0) do
    if more?(taken, pages) do
      {:ok, {{_, 200, _}, _, body}} = :httpc.request(:get, {url, []}, [], body_format: :binary)
      check(byte_size(body) == @page, "a page of #{byte_size(body)} bytes")
      httpc_fetcher(url, taken, pages, fetched + 1)
    else
      fetched
    end
  end

  defp raw_fetcher(uri, taken, pages) do
    host = String.to_charlist(uri.host)
    {:ok, socket} = :gen_tcp.connect(host, uri.port, [:binary, active: false, nodelay: true])
    request = "GET #{uri.path} HTTP/1.1\r\nHost: #{uri.authority}\r\n\r\n"
    fetched = raw_fetch(socket, request, taken, pages, 0)
    :gen_tcp.close(socket)
    fetched
  end

  defp raw_fetch(socket, request, taken, pages, fetched) do
    if more?(taken, pages) do
      :ok = :gen_tcp.send(socket, request)
      read_page(socket, "")
      raw_fetch(socket, request, taken, pages, fetched + 1)
    else
      fetched
    end
  end

  defp read_page(socket, got) do
    {:ok, data} = :gen_tcp.recv(socket, 0)
    got = got <> data

    case :binary.match(got, "\r\n\r\n") do
      {at, 4} when byte_size(got) == at + 4 + @page ->
        check(match?("HTTP/1.1 200" <> _, got), "the status of a page")

      {at, 4} when byte_size(got) > at + 4 + @page ->
        check(false, "a page of #{byte_size(got) - at - 4} bytes")

      _ ->
        read_page(socket, got)
    end
  end
end
