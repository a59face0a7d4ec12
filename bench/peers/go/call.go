// How long does a call to a goroutine that owns state take, with one client?
package main

func main() {
	const samples = 20
	calls := scaled(1_000_000)
	ops := calls / samples
	server := startCounter()

	taken := nsPerOp(samples, ops, func() { callInARow(server, ops) })
	report("call", "ns/op", taken, params{"calls": calls, "clients": 1})
}
