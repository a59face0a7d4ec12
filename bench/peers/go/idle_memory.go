// How much memory does an idle goroutine with an inbox hold, and how fast do a million start?
package main

import "sync"

// serve waits at its outermost level, as a callback process does.
func serve(inbox <-chan int, started *sync.WaitGroup, answers chan<- int) {
	state := 0

	started.Done()
	for request := range inbox {
		state += request
		answers <- state
	}
}

func main() {
	measureIdle("idle_memory", serve)
}
