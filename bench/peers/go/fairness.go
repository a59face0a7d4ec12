// How late does a goroutine that sleeps a millisecond wake beside four that never yield?
package main

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

var mayStop int32

func hog(done *sync.WaitGroup) {
	for atomic.LoadInt32(&mayStop) == 0 {
	}
	done.Done()
}

func lateMs() float64 {
	due := time.Now().Add(time.Millisecond)
	time.Sleep(time.Millisecond)
	return float64(time.Since(due).Nanoseconds()) / 1e6
}

func main() {
	const hogs, samples, warmUp = 4, 5, 50
	var done sync.WaitGroup
	var p50, p99, most []float64
	n := scaled(1000)

	done.Add(hogs)
	for i := 0; i < hogs; i++ {
		go hog(&done)
	}
	for i := 0; i < warmUp; i++ {
		lateMs()
	}
	for s := 0; s < samples; s++ {
		late := make([]float64, n)
		for i := range late {
			late[i] = lateMs()
		}
		sort.Float64s(late)
		check(late[0] >= 0, "it woke %g ms early", -late[0])
		p50 = append(p50, at(late, 0.5))
		p99 = append(p99, at(late, 0.99))
		most = append(most, late[n-1])
	}
	atomic.StoreInt32(&mayStop, 1)
	done.Wait()
	report("fairness_p50", "ms", p50, params{"hogs": hogs, "sleeps": n})
	report("fairness_p99", "ms", p99, params{"hogs": hogs, "sleeps": n})
	report("fairness_max", "ms", most, params{"hogs": hogs, "sleeps": n})
}
