// How much memory does a goroutine hold that waits in the middle of a function?
package main

import "sync"

//go:noinline
func waitInside(inbox <-chan int, started *sync.WaitGroup) int {
	started.Done()
	return <-inbox
}

// caller has a frame of its own that must outlive the wait.
func caller(inbox <-chan int, started *sync.WaitGroup, answers chan<- int) {
	kept := [4]int{4, 3, 2, 1}

	got := waitInside(inbox, started)
	answers <- got + kept[got%4] + got%4 - 4
}

func main() {
	measureIdle("idle_stacks", caller)
}
