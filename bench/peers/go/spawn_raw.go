// What does a bare spawn cost whose only act is to send one integer back?
package main

const batch = 1000

func spawnBatch(inbox chan int) {
	sum := 0

	for i := 0; i < batch; i++ {
		i := i
		go func() { inbox <- i }()
	}
	for i := 0; i < batch; i++ {
		sum += <-inbox
	}
	check(sum == batch*(batch-1)/2, "a batch summed up to %d", sum)
}

func main() {
	const samples = 20
	spawns := scaled(1_000_000)
	inbox := make(chan int, batch)
	ops := spawns / samples

	taken := nsPerOp(samples, ops, func() {
		for done := 0; done < ops; done += batch {
			spawnBatch(inbox)
		}
	})
	report("spawn_raw", "ns/op", taken, params{"spawns": spawns, "batch": batch})
}
