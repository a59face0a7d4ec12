// What the rows about streams share: bounded concurrency, a goroutine for each item.
//
// A goroutine for each item, as a task is one process for each item; a pool of
// four that takes items from a counter would be a different thing, and faster.
// Of the shapes Go offers these two were the fastest that were tried.
package main

const atOnce = 4

// streamOrdered puts each result in its place; places bound the tasks at work.
func streamOrdered(items int, work func(i int) int) []int {
	places := make(chan struct{}, atOnce)
	values := make([]int, items)

	for i := 0; i < items; i++ {
		places <- struct{}{}
		i := i
		go func() {
			values[i] = work(i)
			<-places
		}()
	}
	for i := 0; i < atOnce; i++ {
		places <- struct{}{}
	}
	return values
}

// streamUnordered hands results over as they come and starts the next task for each.
func streamUnordered(items int, work func(i int) int, take func(value int)) {
	answers := make(chan int, atOnce)
	started := 0
	startNext := func() {
		i := started
		started++
		go func() { answers <- work(i) }()
	}

	for started < atOnce {
		startNext()
	}
	for taken := 0; taken < items; taken++ {
		value := <-answers
		if started < items {
			startNext()
		}
		take(value)
	}
}

// checkOrdered ends the program unless item i returned i + 1.
func checkOrdered(values []int) {
	for i, value := range values {
		check(value == i+1, "item %d returned %d", i, value)
	}
}
