// s3fetch: the bulk of an agent's input, from S3 to files, beside Python.
//
// It makes one attempt at each request and judges nothing: what is not proven to be whole goes back to the agent, which is patient,
// finds out why, and says so. On stdin are records, on stdout lines, both described in protocol.go; it ends with its stdin.
package main

import (
	"bufio"
	"fmt"
	"hash/maphash"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
)

const (
	// Small objects wait for S3 far longer than they travel.
	mostSmall = 256
	// Of large ones fewer fill every line; those of one file wait for each other where they write.
	mostLarge = 32
	// Bytes up to which a request is a small one.
	small = 1 << 20
	// More cores bring nothing before the network is full, and a container may have fewer than the machine.
	mostCores = 8
)

func main() {
	runtime.GOMAXPROCS(min(runtime.NumCPU(), mostCores))
	// It runs beside Python in a container of a few hundred MiB.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(96 << 20)
	// Any user may write to staged files.
	syscall.Umask(0)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "s3fetch:", err)
		os.Exit(1)
	}
}

func run() error {
	in := bufio.NewReaderSize(os.Stdin, 64*1024)
	settings, err := readSettings(in)
	if err != nil || settings == nil {
		return err
	}
	answers := make(chan string, 1024)
	go say(os.Stdout, answers)
	fetcher := &fetcher{settings: settings, answers: answers, seed: maphash.MakeSeed()}
	go fetcher.tell()
	little := newCrew(fetcher, mostSmall, 64<<10)
	much := newCrew(fetcher, mostLarge, 1<<20)
	for {
		record, err := read(in)
		if err != nil || record == nil {
			return err
		}
		switch record := record.(type) {
		case *credentials:
			fetcher.signer.Store(newSigner(settings.Region, *record))
		case *request:
			if record.length <= small {
				little.requests <- record
			} else {
				much.requests <- record
			}
		}
	}
}
