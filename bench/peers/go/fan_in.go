// What does a message cost when a hundred goroutines send to one?
package main

func main() {
	const samples, senders, buffered = 10, 100, 1024
	each := scaled(20_000)
	ops := senders * each

	taken := nsPerOp(samples, ops, func() {
		inbox := make(chan int, buffered)
		for s := 0; s < senders; s++ {
			go func() {
				for i := 0; i < each; i++ {
					inbox <- i
				}
			}()
		}
		sum := 0
		for i := 0; i < ops; i++ {
			sum += <-inbox
		}
		check(sum == senders*each*(each-1)/2, "%d messages summed up to %d", ops, sum)
	})
	report("fan_in", "ns/op", taken, params{"senders": senders, "each": each, "buffered": buffered})
}
