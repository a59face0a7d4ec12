// What does an item cost in a stream of trivial tasks, four at once, ordered and unordered?
package main

func trivial(i int) int {
	return i + 1
}

func main() {
	const samples = 10
	items := scaled(200_000)
	with := params{"items": items, "max_concurrency": atOnce}

	taken := nsPerOp(samples, items, func() {
		checkOrdered(streamOrdered(items, trivial))
	})
	report("async_stream", "ns/op", taken, with)

	taken = nsPerOp(samples, items, func() {
		sum := 0
		streamUnordered(items, trivial, func(value int) { sum += value })
		check(sum == items*(items+1)/2, "%d items summed up to %d", items, sum)
	})
	report("async_stream_unordered", "ns/op", taken, with)
}
