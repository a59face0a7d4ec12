// What does a turn cost when two goroutines yield to each other on one thread?
package main

import "runtime"

// turns is written by both without locks: there is one P, so they never run at once.
var turns [2]int

func takeTurns(me, each int, behind chan<- int) {
	for i := 0; i < each; i++ {
		turns[me]++
		runtime.Gosched()
	}
	behind <- turns[me] - turns[1-me]
}

func main() {
	const samples = 20
	yields := scaled(10_000_000)
	ops := yields / samples

	runtime.GOMAXPROCS(1)
	taken := nsPerOp(samples, ops, func() {
		behind := make(chan int, 2)
		turns = [2]int{}
		go takeTurns(0, ops/2, behind)
		go takeTurns(1, ops/2, behind)
		for i := 0; i < 2; i++ {
			// Each 61st turn looks at the global queue first, so one may go twice.
			apart := <-behind
			check(apart <= ops/20, "one was %d turns ahead of the other", apart)
		}
	})
	report("yield", "ns/op", taken, params{"yields": yields})
}
