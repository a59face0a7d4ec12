// How near to the work itself does a stream get whose items take 0 to 15 us of CPU?
//
// Item i spins by the clock for i * 7919 mod 15001 ns, 7.5 us on average.
package main

import "time"

func spin(i int) int {
	length := time.Duration(i * 7919 % 15001)

	for start := time.Now(); time.Since(start) < length; {
	}
	return i + 1
}

func main() {
	const samples = 10
	items := scaled(20_000)

	taken := nsPerOp(samples, items, func() {
		checkOrdered(streamOrdered(items, spin))
	})
	for i := range taken {
		taken[i] /= 1e3
	}
	report("async_stream_skewed", "us/op", taken, params{"items": items, "max_concurrency": atOnce})
}
