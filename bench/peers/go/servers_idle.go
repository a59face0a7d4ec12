// How much memory does an idle goroutine that owns state and waits in a function it calls hold?
package main

import "sync"

type state struct{ n, sum int }

// receive stands for the loop that a server's library would have.
//
//go:noinline
func receive(inbox <-chan int) (int, bool) {
	request, ok := <-inbox
	return request, ok
}

func serve(inbox <-chan int, started *sync.WaitGroup, answers chan<- int) {
	var own state

	started.Done()
	for {
		request, ok := receive(inbox)
		if !ok {
			return
		}
		own.n++
		own.sum += request
		answers <- own.sum
	}
}

func main() {
	measureIdle("servers_idle", serve)
}
