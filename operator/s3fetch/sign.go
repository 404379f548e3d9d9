package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
	"sync"
	"time"
)

const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// signer makes the heads of requests that AWS Signature Version 4 makes valid. Safe for goroutines.
type signer struct {
	region string
	credentials
	mutex sync.Mutex
	day   string
	// A day's requests are signed with the same key.
	key []byte
}

func newSigner(region string, c credentials) *signer {
	return &signer{region: region, credentials: c}
}

func digest(mac hash.Hash, text string) []byte {
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func (s *signer) keyOf(day string) []byte {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.day != day {
		key := []byte("AWS4" + s.secretKey)
		for _, part := range []string{day, s.region, "s3", "aws4_request"} {
			key = digest(hmac.New(sha256.New, key), part)
		}
		s.key, s.day = key, day
	}
	return s.key
}

// head is the whole of a GET up to its empty line.
func (s *signer) head(r *request, now time.Time) []byte {
	moment := now.UTC().Format("20060102T150405Z")
	day := moment[:8]
	type header struct{ name, value string }
	// In the signature's order.
	headers := make([]header, 0, 7)
	headers = append(headers, header{"host", r.host})
	if r.etag != "" {
		headers = append(headers, header{"if-match", r.etag})
	}
	if r.length != r.size {
		span := "bytes=" + strconv.FormatInt(r.first, 10) + "-" + strconv.FormatInt(r.first+r.length-1, 10)
		headers = append(headers, header{"range", span})
	}
	if r.proof == byAnswer {
		headers = append(headers, header{"x-amz-checksum-mode", "ENABLED"})
	}
	headers = append(headers, header{"x-amz-content-sha256", emptySHA256}, header{"x-amz-date", moment})
	if s.token != "" {
		headers = append(headers, header{"x-amz-security-token", s.token})
	}
	var room [2048]byte
	canonical := append(append(room[:0], "GET\n"...), r.path...)
	canonical = append(canonical, "\n\n"...)
	names := ""
	for i, h := range headers {
		canonical = append(append(append(append(canonical, h.name...), ':'), h.value...), '\n')
		if i > 0 {
			names += ";"
		}
		names += h.name
	}
	canonical = append(append(append(append(canonical, '\n'), names...), '\n'), emptySHA256...)
	sum := sha256.Sum256(canonical)
	scope := day + "/" + s.region + "/s3/aws4_request"
	toSign := "AWS4-HMAC-SHA256\n" + moment + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	signature := hex.EncodeToString(digest(hmac.New(sha256.New, s.keyOf(day)), toSign))
	head := make([]byte, 0, 1024)
	head = append(append(append(head, "GET "...), r.path...), " HTTP/1.1\r\n"...)
	for _, h := range headers {
		head = append(append(append(append(head, h.name...), ": "...), h.value...), "\r\n"...)
	}
	head = append(head, "authorization: AWS4-HMAC-SHA256 Credential="...)
	head = append(append(append(append(head, s.accessKey...), '/'), scope...), ", SignedHeaders="...)
	return append(append(append(append(head, names...), ", Signature="...), signature...), "\r\n\r\n"...)
}
