// What every Go peer shares: taking samples, checking, and the two lines a row prints.
//
// A row is one file with a main, built together with this one:
//
//	GO111MODULE=off go build -o pingpong pingpong.go report.go memory.go stream.go counter.go
//
// memory.go, stream.go and counter.go hold what two rows have in common; any row may be built
// with all of them. Go's settings are its defaults; GOMAXPROCS follows the cores the runner allows.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"
)

// quick asks for a look rather than a figure: a tenth of the work.
var quick = len(os.Args) > 1 && os.Args[1] == "--quick"

// params says what was run; it goes into the JSON line as it is.
type params map[string]any

// scaled is the amount of work: all of it, or a tenth when quick.
func scaled(full int) int {
	if quick {
		return full / 10
	}
	return full
}

// check ends the program when the work was not really done.
func check(ok bool, format string, args ...any) {
	if !ok {
		fmt.Fprintf(os.Stderr, "check failed: "+format+"\n", args...)
		os.Exit(1)
	}
}

// nsPerOp runs `work` once to warm up, then `samples` times, and returns the
// nanoseconds per operation of each. `work` does `ops` operations and checks them.
func nsPerOp(samples, ops int, work func()) []float64 {
	taken := make([]float64, 0, samples)

	work()
	for i := 0; i < samples; i++ {
		start := time.Now()
		work()
		taken = append(taken, float64(time.Since(start).Nanoseconds())/float64(ops))
	}
	return taken
}

// at is the value a fraction of the way through sorted samples (nearest rank).
func at(sorted []float64, fraction float64) float64 {
	return sorted[int(fraction*float64(len(sorted)-1)+0.5)]
}

// report prints a row: for people on stderr, for the runner on stdout.
func report(bench, unit string, taken []float64, with params) {
	sort.Float64s(taken)
	if with == nil {
		with = params{}
	}
	with["quick"] = quick
	with["workers"] = runtime.GOMAXPROCS(0)
	with["version"] = strings.TrimPrefix(runtime.Version(), "go")
	line, err := json.Marshal(struct {
		Bench   string  `json:"bench"`
		Impl    string  `json:"impl"`
		Unit    string  `json:"unit"`
		Median  float64 `json:"median"`
		P10     float64 `json:"p10"`
		P90     float64 `json:"p90"`
		Min     float64 `json:"min"`
		Max     float64 `json:"max"`
		Samples int     `json:"samples"`
		Params  params  `json:"params"`
	}{bench, "go", unit, at(taken, 0.5), at(taken, 0.1), at(taken, 0.9),
		taken[0], taken[len(taken)-1], len(taken), with})
	check(err == nil, "json: %v", err)
	fmt.Fprintf(os.Stderr, "%-22s go      %10.4g %s, p90 %.4g, range %.4g to %.4g, %d samples\n",
		bench, at(taken, 0.5), unit, at(taken, 0.9), taken[0], taken[len(taken)-1], len(taken))
	fmt.Println(string(line))
}

// cpuTime is what the whole program has used so far, in user and system mode.
func cpuTime() time.Duration {
	var used syscall.Rusage

	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil, "getrusage")
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
