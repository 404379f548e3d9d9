package main

import (
	"sync/atomic"
	"time"
)

const (
	// The agent lets no more requests be under way.
	underWay = 1024
	few      = 8
	// Workers of which most take no new request in so long are waiting for something.
	long = 10 * time.Millisecond
	// What fails now may fail for a while: the agent should not get all that is under way back at once.
	rest = 200 * time.Millisecond
)

// crew is a number of workers with a connection each: few at first, and more as long as requests take long. A server that answers at
// once needs no more.
type crew struct {
	requests chan *request
	fetcher  *fetcher
	most     int
	block    int
	taken    atomic.Int64
}

// newCrew's workers each have `block` bytes in memory: so many that what a read and a write cost besides copying does not count, and so few
// that most of them are still in the processor's cache when digest and file get them.
func newCrew(fetcher *fetcher, most, block int) *crew {
	c := &crew{requests: make(chan *request, underWay), fetcher: fetcher, most: most, block: block}
	go c.grow()
	return c
}

func (c *crew) grow() {
	there := 0
	add := func(count int) {
		for range min(count, c.most-there) {
			there++
			go c.work()
		}
	}
	add(few)
	before := int64(0)
	for range time.Tick(long) {
		now := c.taken.Load()
		if len(c.requests) > 0 && now-before < int64(there) {
			add(there)
		}
		before = now
		if there == c.most {
			return
		}
	}
}

func (c *crew) work() {
	w := &worker{fetcher: c.fetcher, block: c.block}
	for r := range c.requests {
		c.taken.Add(1)
		if !w.do(r) {
			time.Sleep(rest)
		}
	}
}
