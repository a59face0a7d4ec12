// How many pages of 1 KiB does a client on one core fetch in a second, 64 at once?
package main

import (
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const connections, pageSize = 64, 1024

func fetch(client *http.Client, url string, page []byte) {
	response, err := client.Get(url)
	check(err == nil, "get: %v", err)
	check(response.StatusCode == http.StatusOK, "status %d", response.StatusCode)
	n, err := io.ReadFull(response.Body, page)
	check(err == io.ErrUnexpectedEOF && n == pageSize, "a page of %d bytes, %v", n, err)
	response.Body.Close()
}

func fetchAll(client *http.Client, url string, pages int64) {
	var taken int64
	var fetchers sync.WaitGroup

	fetchers.Add(connections)
	for i := 0; i < connections; i++ {
		go func() {
			page := make([]byte, pageSize+1)
			for atomic.AddInt64(&taken, 1) <= pages {
				fetch(client, url, page)
			}
			fetchers.Done()
		}()
	}
	fetchers.Wait()
}

func main() {
	const samples = 5
	pages := scaled(20_000)
	url := os.Getenv("WEFT_BENCH_URL")
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConns: connections, MaxIdleConnsPerHost: connections, DisableCompression: true}}
	var rate, cpu []float64

	check(url != "", "WEFT_BENCH_URL says which page to fetch")
	fetchAll(client, url, int64(pages))
	for i := 0; i < samples; i++ {
		start, used := time.Now(), cpuTime()
		fetchAll(client, url, int64(pages))
		rate = append(rate, float64(pages)/time.Since(start).Seconds())
		cpu = append(cpu, float64((cpuTime()-used).Nanoseconds())/1e3/float64(pages))
	}
	report("http_fetch", "req/s", rate, params{"pages": pages, "at_once": connections})
	report("http_fetch_cpu", "cpu_us/req", cpu, params{"pages": pages, "at_once": connections})
}
