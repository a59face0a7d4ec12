// What does it cost to start a task and collect its result, a thousand at a time?
//
// A goroutine for each task and one shared channel for the batch. A result
// carries its place, as the answer of await_many is in the order of the tasks.
package main

const batch = 1000

type result struct{ place, value int }

func joinBatch(answers chan result, values []int) {
	for i := 0; i < batch; i++ {
		i := i
		go func() { answers <- result{i, i + 1} }()
	}
	for i := 0; i < batch; i++ {
		answer := <-answers
		values[answer.place] = answer.value
	}
	for i, value := range values {
		check(value == i+1, "task %d returned %d", i, value)
		values[i] = 0
	}
}

func main() {
	const samples = 20
	tasks := scaled(1_000_000)
	answers := make(chan result, batch)
	values := make([]int, batch)
	ops := tasks / samples

	taken := nsPerOp(samples, ops, func() {
		for done := 0; done < ops; done += batch {
			joinBatch(answers, values)
		}
	})
	report("spawn_join", "ns/op", taken, params{"tasks": tasks, "batch": batch})
}
