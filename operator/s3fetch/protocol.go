package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// settings come first on stdin: one JSON object, which ends with a NUL.
type settings struct {
	Secure bool   `json:"secure"`
	Region string `json:"region"`
	// Seconds.
	Connect float64 `json:"connect"`
	Read    float64 `json:"read"`
	// Networks: an address in one of Allowed may be spoken to, then none in Denied, and then all others.
	Denied  []netip.Prefix `json:"denied"`
	Allowed []netip.Prefix `json:"allowed"`
}

// credentials are record "C", for all requests that follow: three fields.
type credentials struct {
	accessKey, secretKey, token string
}

// request is record "G": an object, or a range of one, that becomes a file, or a range of one.
// Its fields in this order; each field of a record ends with a NUL.
type request struct {
	number string
	host   string
	// Encoded as in a URL.
	path string
	// Bytes of the whole object, the first one that is wanted, and how many.
	size, first, length int64
	// As the listing has it; empty: any version.
	etag string
	// How the bytes are looked at; see proof.go.
	proof string
	part  string
	// What `part` is renamed to once the bytes are proven; empty: it is not.
	file string
}

const (
	credentialFields = 3
	requestFields    = 10
)

// readSettings gives nil if there is nothing on stdin.
func readSettings(in *bufio.Reader) (*settings, error) {
	text, err := field(in)
	if errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	found := &settings{}
	return found, json.Unmarshal([]byte(text), found)
}

// read gives the next record; nil at the end.
func read(in *bufio.Reader) (any, error) {
	kind, err := field(in)
	if errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	switch kind {
	case "C":
		var f [credentialFields]string
		err = fields(in, f[:])
		return &credentials{f[0], f[1], f[2]}, err
	case "G":
		var f [requestFields]string
		if err = fields(in, f[:]); err != nil {
			return nil, err
		}
		var numbers [3]int64
		for i, text := range f[3:6] {
			if numbers[i], err = strconv.ParseInt(text, 10, 64); err != nil {
				return nil, err
			}
		}
		if numbers[0] < 0 || numbers[1] < 0 || numbers[2] < 0 {
			return nil, errors.New("a request for less than nothing")
		}
		return &request{
			number: f[0], host: f[1], path: f[2], size: numbers[0], first: numbers[1], length: numbers[2],
			etag: f[6], proof: f[7], part: f[8], file: f[9],
		}, nil
	}
	return nil, fmt.Errorf("a record of kind %q", kind)
}

func fields(in *bufio.Reader, into []string) (err error) {
	for i := range into {
		if into[i], err = field(in); err != nil {
			return fmt.Errorf("half a record: %w", err)
		}
	}
	return nil
}

func field(in *bufio.Reader) (string, error) {
	text, err := in.ReadString(0)
	if err != nil {
		if text != "" {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	return text[:len(text)-1], nil
}

// The lines of stdout: one for each request, in no order, and between them one for each second in which requests are under way.

// came: so many bytes have come in the last second, whatever becomes of them.
func came(bytes int64) string { return "came " + strconv.FormatInt(bytes, 10) }

// placed: the file is there.
func placed(r *request) string { return "placed " + r.number }

// found: the bytes are in the part, and have that digest, which may be empty.
func found(r *request, digest string) string { return "found " + r.number + " " + digest }

// damaged: they came whole, and are not those that S3 has. failed: they did not come. In both cases there may be anything in the part.
func failed(r *request, why error) string {
	kind := "failed "
	if errors.As(why, new(damage)) {
		kind = "damaged "
	}
	text := strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, why.Error())
	return kind + r.number + " " + text
}

// say writes lines as they come, many at once when they come fast. It returns when nobody reads them any more.
func say(out io.Writer, lines <-chan string) {
	buffered := bufio.NewWriterSize(out, 32*1024)
	for line := range lines {
		buffered.WriteString(line)
		buffered.WriteByte('\n')
		if len(lines) == 0 && buffered.Flush() != nil {
			return
		}
	}
}
