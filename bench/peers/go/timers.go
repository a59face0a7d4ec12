// What CPU do a million timed messages take, and how late do a hundred thousand arrive?
//
// A delay is a whole number of milliseconds, hashed over 0..2000, so that they
// are not set in the order they are due. The channel holds them all, as a mailbox would.
package main

import (
	"sort"
	"time"
)

const spreadMs = 2000

func delay(i int) time.Duration {
	return time.Duration(i*7919%(spreadMs+1)) * time.Millisecond
}

// cpuSeconds is the CPU time from the first timer set to the last message received.
func cpuSeconds(timers int) float64 {
	inbox := make(chan int, timers)
	sum := 0

	before := cpuTime()
	for i := 0; i < timers; i++ {
		i := i
		time.AfterFunc(delay(i), func() { inbox <- i })
	}
	for i := 0; i < timers; i++ {
		sum += <-inbox
	}
	used := cpuTime() - before
	check(sum == timers*(timers-1)/2, "%d messages summed up to %d", timers, sum)
	return used.Seconds()
}

// latenessMs is by how much each message was late when it was received, sorted.
func latenessMs(timers int) []float64 {
	inbox := make(chan time.Time, timers)
	late := make([]float64, 0, timers)

	for i := 0; i < timers; i++ {
		due := time.Now().Add(delay(i))
		time.AfterFunc(delay(i), func() { inbox <- due })
	}
	for i := 0; i < timers; i++ {
		due := <-inbox
		late = append(late, float64(time.Since(due).Nanoseconds())/1e6)
	}
	sort.Float64s(late)
	check(late[0] >= 0, "a message came %g ms early", -late[0])
	return late
}

func main() {
	samples := 3
	many, few := scaled(1_000_000), scaled(100_000)
	var cpu, p50, p99 []float64

	if quick {
		samples = 1
	}
	cpuSeconds(many / 10)
	for i := 0; i < samples; i++ {
		cpu = append(cpu, cpuSeconds(many))
		late := latenessMs(few)
		p50 = append(p50, at(late, 0.5))
		p99 = append(p99, at(late, 0.99))
	}
	report("timers_cpu", "s", cpu, params{"timers": many, "spread_ms": spreadMs})
	report("timers_late_p50", "ms", p50, params{"timers": few, "spread_ms": spreadMs})
	report("timers_late_p99", "ms", p99, params{"timers": few, "spread_ms": spreadMs})
}
