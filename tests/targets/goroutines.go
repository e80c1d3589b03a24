// Goroutines that move between threads while their functions run, whose stacks grow, and that panic and recover.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	goroutines = 40
	rounds     = 25
	depth      = 300
)

// What each function counts itself.
var (
	leafs, deeps, waits, sleeps, recovers, panics, cleanups, huges, adds, applies uint64
	sum                                                                           uint64
	inside                                                                        int64
)

type counter struct{ value uint64 }

//go:noinline
func (c *counter) add(n uint64) {
	atomic.AddUint64(&adds, 1)
	atomic.AddUint64(&c.value, n)
}

//go:noinline
func leaf(n uint64) uint64 {
	atomic.AddUint64(&leafs, 1)
	return n*2654435761 + 1
}

// Its stack has to grow several times on a new goroutine.
//
//go:noinline
func deep(n uint64) uint64 {
	var room [64]uint64
	atomic.AddUint64(&deeps, 1)
	room[n%64] = n
	if n == 0 {
		return 0
	}
	return deep(n-1) + room[n%64]
}

// Its frame is larger than any first stack.
//
//go:noinline
func huge(n int) byte {
	var room [200000]byte
	atomic.AddUint64(&huges, 1)
	room[n%len(room)] = 1
	return room[0] + room[n%len(room)]
}

// Other goroutines run on its thread before it goes on, often on another thread.
//
//go:noinline
func wait(turn <-chan uint64, next chan<- uint64) {
	atomic.AddUint64(&waits, 1)
	token := <-turn
	runtime.Gosched()
	next <- token + leaf(token)%2
}

//go:noinline
func sleep() {
	start := time.Now()
	atomic.AddUint64(&sleeps, 1)
	time.Sleep(3 * time.Millisecond)
	atomic.AddInt64(&inside, int64(time.Since(start)))
}

//go:noinline
func cleanup() {
	atomic.AddUint64(&cleanups, 1)
}

//go:noinline
func fall(n int) int {
	atomic.AddUint64(&panics, 1)
	defer cleanup()
	if n >= 0 {
		panic(n)
	}
	return n
}

//go:noinline
func recoverFrom(n int) (result int) {
	atomic.AddUint64(&recovers, 1)
	defer func() {
		if value := recover(); value != nil {
			result = value.(int) + 1
		}
	}()
	if n%2 == 0 {
		return fall(n)
	}
	return n
}

//go:noinline
func apply[T any](value T, change func(T) T) T {
	atomic.AddUint64(&applies, 1)
	return change(value)
}

func work(number int, c *counter, turn <-chan uint64, next chan<- uint64) {
	for round := 0; round < rounds; round++ {
		wait(turn, next)
		c.add(leaf(uint64(number*rounds+round)) % 1000)
	}
	atomic.AddUint64(&sum, deep(depth))
	for n := 0; n < rounds; n++ {
		atomic.AddUint64(&sum, uint64(recoverFrom(n)))
	}
	atomic.AddUint64(&sum, uint64(huge(number)))
	atomic.AddUint64(&sum, apply(uint64(number), func(n uint64) uint64 { return n + 1 }))
	sleep()
}

func main() {
	runtime.GOMAXPROCS(4)
	os.Stdout.WriteString("ready\n")
	os.Stdin.Read(make([]byte, 1))

	start := time.Now()
	// A ring of goroutines that pass a few tokens on.
	turns := make([]chan uint64, goroutines)
	for i := range turns {
		turns[i] = make(chan uint64, 1)
	}
	for i := 0; i < goroutines; i += 4 {
		turns[i] <- 1
	}
	c := &counter{}
	var all sync.WaitGroup
	for i := 0; i < goroutines; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			work(i, c, turns[i], turns[(i+1)%goroutines])
		}(i)
	}
	all.Wait()
	fmt.Println("sum", sum, c.value)
	if len(os.Args) > 1 {
		fmt.Println("truth main.sleep inside", inside)
		fmt.Println("truth program inside", time.Since(start).Nanoseconds())
	}
	for _, row := range []struct {
		name  string
		count uint64
	}{
		{"main.leaf", leafs}, {"main.deep", deeps}, {"main.wait", waits}, {"main.sleep", sleeps},
		{"main.recoverFrom", recovers}, {"main.fall", panics}, {"main.cleanup", cleanups}, {"main.huge", huges},
		{"main.(*counter).add", adds}, {"main.apply", applies}, {"main.work", goroutines},
	} {
		fmt.Println("truth", row.name, row.count)
	}
}
