// How long does a call to a goroutine that owns state take, per call, with 64 clients at once?
package main

import "sync"

func main() {
	const samples, clients = 20, 64
	calls := scaled(1_000_000)
	ops := calls / samples / clients
	server := startCounter()

	taken := nsPerOp(samples, ops*clients, func() {
		var done sync.WaitGroup

		done.Add(clients)
		for i := 0; i < clients; i++ {
			go func() {
				defer done.Done()
				callInARow(server, ops)
			}()
		}
		done.Wait()
	})
	report("call_64", "ns/op", taken, params{"calls": calls, "clients": clients})
}
