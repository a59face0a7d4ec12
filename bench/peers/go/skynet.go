// How long until a tree of goroutines with a million leaves has summed itself up?
package main

const fanOut = 10

func node(parent chan<- int, first, size int) {
	if size == 1 {
		parent <- first
		return
	}
	answers := make(chan int)
	for i := 0; i < fanOut; i++ {
		go node(answers, first+i*(size/fanOut), size/fanOut)
	}
	sum := 0
	for i := 0; i < fanOut; i++ {
		sum += <-answers
	}
	parent <- sum
}

func main() {
	const samples = 5
	leaves := scaled(1_000_000)

	taken := nsPerOp(samples, 1, func() {
		root := make(chan int)
		go node(root, 0, leaves)
		sum := <-root
		check(sum == leaves*(leaves-1)/2, "the leaves summed up to %d", sum)
	})
	for i := range taken {
		taken[i] /= 1e6
	}
	report("skynet", "ms", taken, params{"leaves": leaves, "fan_out": fanOut})
}
