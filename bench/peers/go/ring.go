// How long does a token take from one goroutine to the next around a ring of a thousand?
package main

const members = 1000

// member passes the token on with one hop less; who gets it at zero reports.
func member(from, to chan int, done chan int, place int) {
	for left := range from {
		if left == 0 {
			done <- place
		} else {
			to <- left - 1
		}
	}
}

func main() {
	const samples = 20
	hops := scaled(5_000_000)
	ops := hops / samples
	done := make(chan int)
	links := make([]chan int, members)

	for i := range links {
		links[i] = make(chan int)
	}
	for i := range links {
		go member(links[i], links[(i+1)%members], done, i)
	}
	taken := nsPerOp(samples, ops, func() {
		links[0] <- ops
		place := <-done
		check(place == ops%members, "%d hops ended at %d", ops, place)
	})
	report("ring", "ns/op", taken, params{"hops": hops, "members": members})
}
