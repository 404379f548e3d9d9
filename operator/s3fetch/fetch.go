package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	received = 32 * 1024
	// Of TLS, encrypted.
	records = 256 * 1024
	// Of a head, of TLS, and of what marks chunks.
	overhead = 256 * 1024
)

type fetcher struct {
	settings *settings
	signer   atomic.Pointer[signer]
	answers  chan<- string
	seed     maphash.Seed
	turns    [64]sync.Mutex
	// Requests that a worker has begun, and bytes that have come since they were last told of.
	busy, came atomic.Int64
}

// tell says how much comes, for as long as anything should.
func (f *fetcher) tell() {
	for range time.Tick(time.Second) {
		if f.busy.Load() > 0 {
			f.answers <- came(f.came.Swap(0))
		}
	}
}

// worker makes one request after the other, on a connection of its own.
type worker struct {
	*fetcher
	host   string
	conn   net.Conn
	timed  *timed
	reader *bufio.Reader
	buffer []byte
	block  int
}

// do says whether it got what it asked for.
func (w *worker) do(r *request) bool {
	w.busy.Add(1)
	line, err := w.fetch(r)
	w.busy.Add(-1)
	if err != nil {
		w.hangUp()
		line = failed(r, err)
	}
	w.answers <- line
	return err == nil
}

func (w *worker) hangUp() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

func (w *worker) fetch(r *request) (string, error) {
	if strings.ContainsFunc(r.path+r.etag+r.host, unprintable) {
		return "", errors.New("it cannot be asked for in one line")
	}
	if r.length == 0 {
		return w.keep(r, newProof(r, nil), nil)
	}
	answer, err := w.ask(r)
	if err != nil {
		return "", err
	}
	if err := check(r, answer); err != nil {
		return "", err
	}
	line, err := w.keep(r, newProof(r, answer.Header), answer.Body)
	// Bytes that nobody asked for: whatever they are, they must not be taken for the next answer.
	if err == nil && (answer.Close || w.reader.Buffered() > 0) {
		w.hangUp()
	}
	return line, err
}

func unprintable(c rune) bool { return c <= ' ' || c == 0x7f }

// ask gives the answer to a request. A connection that was closed while it was idle is replaced unnoticed.
func (w *worker) ask(r *request) (*http.Response, error) {
	signer := w.signer.Load()
	if signer == nil {
		return nil, errors.New("no credentials")
	}
	head := signer.head(r, time.Now())
	if w.host != r.host {
		w.hangUp()
	}
	for {
		used := w.conn != nil
		if !used {
			if err := w.connect(r.host); err != nil {
				return nil, err
			}
		}
		w.timed.left = r.length + r.length/4 + overhead
		_, err := w.conn.Write(head)
		if err == nil {
			_, err = w.reader.Peek(1)
		}
		if err == nil {
			return w.answer()
		}
		w.hangUp()
		var slow net.Error
		if !used || errors.As(err, &slow) && slow.Timeout() {
			return nil, err
		}
	}
}

// answer is what is said after what is only said on the way.
func (w *worker) answer() (*http.Response, error) {
	for {
		found, err := http.ReadResponse(w.reader, nil)
		if err != nil || found.StatusCode >= 200 || found.StatusCode == http.StatusSwitchingProtocols {
			return found, err
		}
	}
}

func check(r *request, answer *http.Response) error {
	wanted := http.StatusOK
	if r.length != r.size {
		wanted = http.StatusPartialContent
	}
	if answer.StatusCode != wanted {
		return fmt.Errorf("HTTP %d", answer.StatusCode)
	}
	if answer.ContentLength >= 0 && answer.ContentLength != r.length {
		return fmt.Errorf("%d bytes come instead of %d", answer.ContentLength, r.length)
	}
	if span := answer.Header.Get("Content-Range"); wanted == http.StatusPartialContent && span != "" {
		mine := fmt.Sprintf("bytes %d-%d/", r.first, r.first+r.length-1)
		if span != mine+strconv.FormatInt(r.size, 10) && span != mine+"*" {
			return fmt.Errorf("%s of %d came", span, r.size)
		}
	}
	if came := answer.Header.Get("Etag"); r.etag != "" && came != "" && bare(came) != bare(r.etag) {
		return fmt.Errorf("ETag %s came", came)
	}
	return nil
}

// keep writes the bytes to their place in the part, and that to the file if it is whole.
func (w *worker) keep(r *request, p *proof, body io.Reader) (string, error) {
	flags := syscall.O_WRONLY | syscall.O_CREAT | syscall.O_CLOEXEC
	if r.length == r.size {
		flags |= syscall.O_TRUNC
	}
	file, err := syscall.Open(r.part, flags, 0o666)
	if err != nil {
		return "", err
	}
	err = w.copy(r, p, body, file)
	if closed := syscall.Close(file); err == nil {
		err = closed
	}
	if err != nil {
		return "", err
	}
	proven, err := p.whole()
	if err != nil {
		return "", err
	}
	if !proven || r.file == "" {
		return found(r, p.text()), nil
	}
	return placed(r), syscall.Rename(r.part, r.file)
}

func (w *worker) copy(r *request, p *proof, body io.Reader, file int) error {
	room := int(min(r.length, int64(w.block)))
	if len(w.buffer) < room {
		w.buffer = make([]byte, room)
	}
	for at := int64(0); at < r.length; {
		count, err := io.ReadFull(body, w.buffer[:min(int64(w.block), r.length-at)])
		if err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", at+int64(count), r.length, err)
		}
		p.add(w.buffer[:count])
		err = w.inTurn(r, func() error { return writeAt(file, w.buffer[:count], r.first+at) })
		if err != nil {
			return err
		}
		at += int64(count)
	}
	if body == nil {
		return nil
	}
	// Also what makes the connection ready for the next request.
	if count, err := body.Read(w.buffer[:1]); count != 0 || err != io.EOF {
		return fmt.Errorf("more than %d bytes came, or no end (%v)", r.length, err)
	}
	return nil
}

// inTurn does what must not be done to one file at once: in the kernel others would wait by spinning, and not read meanwhile.
func (f *fetcher) inTurn(r *request, write func() error) error {
	if r.length == r.size {
		return write()
	}
	turn := &f.turns[maphash.String(f.seed, r.part)%uint64(len(f.turns))]
	turn.Lock()
	defer turn.Unlock()
	return write()
}

func writeAt(file int, data []byte, at int64) error {
	for len(data) > 0 {
		count, err := syscall.Pwrite(file, data, at)
		if err == syscall.EINTR {
			continue
		} else if err != nil {
			return err
		}
		data, at = data[count:], at+int64(count)
	}
	return nil
}

func (w *worker) connect(host string) error {
	name, port := strings.Trim(host, "[]"), "80"
	if w.settings.Secure {
		port = "443"
	}
	if before, after, err := net.SplitHostPort(host); err == nil {
		name, port = before, after
	}
	dialer := net.Dialer{Timeout: seconds(w.settings.Connect)}
	conn, err := dialer.Dial("tcp", net.JoinHostPort(name, port))
	if err != nil {
		return err
	}
	// Asked of the address that was connected to, whatever the name resolves to at other times; nothing was sent yet.
	address := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	if !w.settings.admits(address) {
		conn.Close()
		return fmt.Errorf("%s may not be spoken to", address)
	}
	w.timed = &timed{Conn: conn, patience: seconds(w.settings.Read), left: overhead, came: &w.came}
	conn = w.timed
	if w.settings.Secure {
		// TLS asks for one record at a time, which has 16 KiB at most: the kernel is asked for several.
		conn = tls.Client(&ahead{conn, bufio.NewReaderSize(conn, min(w.block, records))}, &tls.Config{ServerName: name})
	}
	w.host, w.conn = host, conn
	if w.reader == nil {
		w.reader = bufio.NewReaderSize(conn, received)
	} else {
		w.reader.Reset(conn)
	}
	return nil
}

func (s *settings) admits(address netip.Addr) bool {
	in := func(network netip.Prefix) bool { return network.Contains(address) }
	return slices.ContainsFunc(s.Allowed, in) || !slices.ContainsFunc(s.Denied, in)
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}

// ahead is a connection that is read from in large pieces.
type ahead struct {
	net.Conn
	reader *bufio.Reader
}

func (a *ahead) Read(into []byte) (int, error) {
	return a.reader.Read(into)
}

// timed is a connection whose reads and writes may each take so long, and which brings no more than is left.
type timed struct {
	net.Conn
	patience time.Duration
	left     int64
	came     *atomic.Int64
}

func (t *timed) Read(into []byte) (int, error) {
	if t.left <= 0 {
		return 0, errors.New("it brings more than was asked for")
	}
	t.SetReadDeadline(time.Now().Add(t.patience))
	count, err := t.Conn.Read(into)
	t.left -= int64(count)
	t.came.Add(int64(count))
	return count, err
}

func (t *timed) Write(data []byte) (int, error) {
	t.SetWriteDeadline(time.Now().Add(t.patience))
	return t.Conn.Write(data)
}
