// What the call rows share: a goroutine that owns state, and calls to it.
package main

// request carries the client's own channel for answers, made once for each client.
type request struct {
	value int
	reply chan int
}

// startCounter starts a server that counts its calls; the answer is the request plus one.
func startCounter() chan<- request {
	server := make(chan request)

	go func() {
		n, sum := 0, 0
		for r := range server {
			n++
			sum += r.value
			r.reply <- r.value + 1
		}
	}()
	return server
}

// callInARow makes n calls, each with what the one before answered.
func callInARow(server chan<- request, n int) {
	reply := make(chan int)
	value := 0

	for i := 0; i < n; i++ {
		server <- request{value, reply}
		value = <-reply
	}
	check(value == n, "%d calls counted up to %d", n, value)
}
