// What the rows about idle goroutines share: start them all, weigh them, wake them all.
package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// residentBytes is the memory in use and the page tables that map it.
func residentBytes() int {
	status, err := os.ReadFile("/proc/self/status")
	total := 0

	check(err == nil, "/proc/self/status: %v", err)
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "VmPTE:") {
			var kib int
			_, err := fmt.Sscan(strings.Fields(line)[1], &kib)
			check(err == nil, "/proc/self/status: %s", line)
			total += kib * 1024
		}
	}
	return total
}

// measureIdle starts a million goroutines that wait for their inbox, and
// reports the bytes each holds and how long it took until all had started.
// Then each is asked, so that none can be missing.
//
// One sample a run: memory given back stays with Go's runtime, so a second
// sample in the same program would measure the first one's.
func measureIdle(bench string, body func(inbox <-chan int, started *sync.WaitGroup, answers chan<- int)) {
	idle := scaled(1_000_000)
	inboxes := make([]chan int, idle)
	answers := make(chan int)
	var started sync.WaitGroup

	for i := range inboxes {
		inboxes[i] = nil // touched here, so that the handles' own pages are not counted
	}
	before := residentBytes()
	start := time.Now()
	started.Add(idle)
	for i := range inboxes {
		inboxes[i] = make(chan int)
		go body(inboxes[i], &started, answers)
	}
	started.Wait()
	took := time.Since(start)
	each := float64(residentBytes()-before) / float64(idle)

	for i, inbox := range inboxes {
		inbox <- i
		answer := <-answers
		check(answer == i, "goroutine %d answered %d", i, answer)
	}
	report(bench, "bytes", []float64{each}, params{"idle": idle})
	report(bench+"_start", "s", []float64{took.Seconds()}, params{"idle": idle})
}
