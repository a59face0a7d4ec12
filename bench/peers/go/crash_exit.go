// What does a goroutine cost that panics, recovers, and tells who started it why?
//
// Nothing supervises it: a panic that nobody recovers ends a Go program.
package main

const batch = 1000

type down struct{ reason interface{} }

func crash(i int, downs chan down) {
	defer func() { downs <- down{recover()} }()
	panic(i)
}

func crashBatch(downs chan down) {
	sum := 0
	for i := 0; i < batch; i++ {
		go crash(i, downs)
	}
	for i := 0; i < batch; i++ {
		sum += (<-downs).reason.(int)
	}
	check(sum == batch*(batch-1)/2, "a batch's reasons summed up to %d", sum)
}

func main() {
	const samples = 20
	crashes := scaled(200_000)
	downs := make(chan down, batch)
	ops := crashes / samples

	taken := nsPerOp(samples, ops, func() {
		for done := 0; done < ops; done += batch {
			crashBatch(downs)
		}
	})
	report("crash_exit", "ns/op", taken, params{"crashes": crashes, "batch": batch})
}
