// How long is a round trip between two goroutines that block on each other?
package main

func main() {
	const samples = 20
	trips := scaled(2_000_000)
	ops := trips / samples
	ping, pong := make(chan int), make(chan int)

	go func() {
		for value := range ping {
			pong <- value + 1
		}
	}()
	taken := nsPerOp(samples, ops, func() {
		value := 0
		for i := 0; i < ops; i++ {
			ping <- value
			value = <-pong
		}
		check(value == ops, "%d trips counted up to %d", ops, value)
	})
	report("pingpong", "ns/op", taken, params{"trips": trips})
}
