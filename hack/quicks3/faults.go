package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
)

type fate int

const (
	fine fate = iota
	refused
	broken
)

// fates decide which answers go wrong: by the seed, by what is asked for, and by how often that was asked for before. So it is
// the same in every run, in whatever order connections get their turn, and what is asked for again comes in the end.
type fates struct {
	share float64
	seed  uint64
	lock  sync.Mutex
	asked map[string]int
	count int
}

func (f *fates) of(r *http.Request) fate {
	if f.share == 0 || r.Method != http.MethodGet {
		return fine
	}
	what := r.RequestURI + " " + r.Header.Get("Range")
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.asked == nil {
		f.asked = map[string]int{}
	}
	f.asked[what]++
	dice := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", f.seed, f.asked[what], what))
	if float64(binary.BigEndian.Uint64(dice[:])) >= f.share*math.MaxUint64 {
		return fine
	}
	f.count++
	return refused + fate(dice[31]&1)
}

// forget begins anew, and says how many went wrong.
func (f *fates) forget() int {
	f.lock.Lock()
	defer f.lock.Unlock()
	count := f.count
	f.asked, f.count = nil, 0
	return count
}

// halfway passes half of the body on, as far as its length is known, and resets the connection.
type halfway struct {
	http.ResponseWriter
	left  int64
	begun bool
}

func (h *halfway) Write(data []byte) (int, error) {
	if !h.begun {
		size, _ := strconv.ParseInt(h.Header().Get("Content-Length"), 10, 64)
		h.left, h.begun = size/2, true
	}
	count, err := h.ResponseWriter.Write(data[:min(h.left, int64(len(data)))])
	h.left -= int64(count)
	if err == nil && count < len(data) {
		err = net.ErrClosed
	}
	return count, err
}

func (h *halfway) reset() {
	control := http.NewResponseController(h.ResponseWriter)
	if h.begun && h.Header().Get("Content-Length") != "" {
		control.Flush()
	}
	connection, _, err := control.Hijack()
	if err != nil {
		return
	}
	if plain, ok := connection.(*net.TCPConn); ok {
		plain.SetLinger(0)
	}
	connection.Close()
}
