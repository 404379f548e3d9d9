// quicks3 is an S3 server that keeps no promise but speed: what a benchmark of clients measures must not be the server.
//
// It believes every signature and checksum, computes none, and keeps bytes as files of one directory, on a tmpfs as a rule. Of an
// object that is put with the header x-bench-etag it gives out that ETag, with x-bench-part-size it knows the parts that the
// object came in, and a checksum that was put with it is given out as S3 does. All else has an ETag that is no digest, as
// encrypted objects of S3 have. With x-bench-size what was put is the beginning of an object of so many bytes, which are those
// over and over. GET /-/stats says when (seconds since the epoch) the first object whose key begins with the query's prefix was
// asked for since the last such question, how many requests came meanwhile, those with the header x-bench-unseen left out, how
// many of them went wrong by -faults, and how many bytes were put.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

type server struct {
	store *store
	delay time.Duration
	fates *fates
	lock  sync.Mutex
	watch string
	first time.Time
	count int
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address and port")
	directory := flag.String("dir", "", "where bytes are kept; must be empty")
	certificate := flag.String("cert", "", "for https: certificate")
	key := flag.String("key", "", "for https: its key")
	delay := flag.Duration("delay", 0, "before an object is given out, as if the server were as far away")
	faults := flag.Float64("faults", 0, "the share of answers to GET that go wrong: a 503, or a connection that is reset half way")
	seed := flag.Uint64("seed", 1, "of -faults")
	flag.Parse()
	one := &server{store: newStore(*directory), delay: *delay, fates: &fates{share: *faults, seed: *seed}}
	plain := new(http.Protocols)
	plain.SetHTTP1(true) // S3 speaks nothing newer
	serving := &http.Server{Addr: *listen, Handler: one, Protocols: plain}
	if *certificate != "" {
		log.Fatal(serving.ListenAndServeTLS(*certificate, *key))
	}
	log.Fatal(serving.ListenAndServe())
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	if bucket == "-" {
		s.stats(w, query.Get("prefix"))
		return
	}
	if r.Header.Get("X-Bench-Unseen") == "" {
		s.lock.Lock()
		s.count++
		s.lock.Unlock()
		switch s.fates.of(r) {
		case refused:
			refuse(w, http.StatusServiceUnavailable, "SlowDown")
			return
		case broken:
			half := &halfway{ResponseWriter: w}
			defer half.reset()
			w = half
		}
	}
	switch {
	case key == "" && r.Method == http.MethodPut:
		s.store.make(bucket)
	case key == "" && r.Method == http.MethodHead:
	case key == "" && query.Has("uploads"):
		answer(w, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")
	case key == "" && query.Has("location"):
		answer(w, "<LocationConstraint></LocationConstraint>")
	case key == "" && r.Method == http.MethodGet:
		answer(w, s.store.list(bucket, query))
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.note(key)
		time.Sleep(s.delay)
		s.read(w, r, bucket, key, query.Get("partNumber"))
	case query.Has("uploads"):
		answer(w, "<InitiateMultipartUploadResult><UploadId>"+s.store.start()+"</UploadId></InitiateMultipartUploadResult>")
	case query.Has("partNumber"):
		s.part(w, r, query.Get("uploadId"), query.Get("partNumber"))
	case query.Has("uploadId") && r.Method == http.MethodPost:
		s.complete(w, bucket, key, query.Get("uploadId"))
	case query.Has("uploadId"):
		s.store.abort(query.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete:
		s.store.remove(bucket, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut:
		s.put(w, r, bucket, key)
	default:
		refuse(w, http.StatusNotImplemented, "NotImplemented")
	}
}

func (s *server) note(key string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.first.IsZero() && strings.HasPrefix(key, s.watch) {
		s.first = time.Now()
	}
}

func (s *server) stats(w http.ResponseWriter, prefix string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	seconds := 0.0
	if !s.first.IsZero() {
		seconds = float64(s.first.UnixNano()) / 1e9
	}
	fmt.Fprintf(w, `{"first": %.6f, "requests": %d, "faults": %d, "received": %d}`,
		seconds, s.count, s.fates.forget(), s.store.received.Swap(0))
	s.watch, s.first, s.count = prefix, time.Time{}, 0
}

func (s *server) read(w http.ResponseWriter, r *http.Request, bucket, key, part string) {
	found := s.store.find(bucket, key)
	if found == nil {
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	if wanted := r.Header.Get("If-Match"); wanted != "" && strings.Trim(wanted, `"`) != strings.Trim(found.etag, `"`) {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	head := w.Header()
	head.Set("ETag", found.etag)
	head.Set("Last-Modified", found.written.Format(http.TimeFormat))
	head.Set("Content-Type", "binary/octet-stream")
	head.Set("Accept-Ranges", "bytes")
	first, length := int64(0), found.size
	status := http.StatusOK
	if asked := r.Header.Get("Range"); asked != "" {
		var ok bool
		if first, length, ok = span(asked, found.size); !ok {
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		head.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+length-1, found.size))
		status = http.StatusPartialContent
	} else if part != "" && found.partSize > 0 {
		length = min(found.partSize, found.size)
		status = http.StatusPartialContent
	} else if found.crc32 != "" && r.Header.Get("X-Amz-Checksum-Mode") != "" {
		head.Set("X-Amz-Checksum-Crc32", found.crc32)
		head.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
	head.Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		found.send(w, first, length)
	}
}

// span is the first byte and the length of "bytes=a-b", "bytes=a-" or "bytes=-n".
func span(asked string, size int64) (int64, int64, bool) {
	from, to, _ := strings.Cut(strings.TrimPrefix(asked, "bytes="), "-")
	if from == "" {
		count, err := strconv.ParseInt(to, 10, 64)
		count = min(count, size)
		return size - count, count, err == nil && count > 0
	}
	first, err := strconv.ParseInt(from, 10, 64)
	last := size - 1
	if to != "" {
		if end, fault := strconv.ParseInt(to, 10, 64); fault == nil {
			last = min(last, end)
		}
	}
	return first, last - first + 1, err == nil && first < size && last >= first
}

func (s *server) put(w http.ResponseWriter, r *http.Request, bucket, key string) {
	if r.Header.Get("If-None-Match") == "*" && s.store.find(bucket, key) != nil {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	if from := r.Header.Get("X-Amz-Copy-Source"); from != "" {
		refuse(w, http.StatusNotImplemented, "NotImplemented")
		return
	}
	piece, err := s.store.keep(body(r))
	if err != nil {
		refuse(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	partSize, _ := strconv.ParseInt(r.Header.Get("X-Bench-Part-Size"), 10, 64)
	etag := r.Header.Get("X-Bench-Etag")
	if etag == "" {
		etag = piece.etag
	}
	size, pieces := piece.size, []piecefile{piece}
	if whole, err := strconv.ParseInt(r.Header.Get("X-Bench-Size"), 10, 64); err == nil && piece.size > 0 {
		for size = piece.size; size < whole; size += piece.size {
			pieces = append(pieces, piecefile{piece.path, min(piece.size, whole-size), piece.etag})
		}
		size = whole
	}
	s.store.place(bucket, key, &object{
		pieces: pieces, size: size, etag: etag, partSize: partSize, written: time.Now().UTC(),
		crc32: r.Header.Get("X-Amz-Checksum-Crc32"),
	})
	w.Header().Set("ETag", etag)
}

func (s *server) part(w http.ResponseWriter, r *http.Request, upload, number string) {
	count, err := strconv.Atoi(number)
	if err == nil {
		var piece piecefile
		if piece, err = s.store.keep(body(r)); err == nil {
			if s.store.add(upload, count, piece) {
				w.Header().Set("ETag", piece.etag)
				return
			}
			os.Remove(piece.path)
			refuse(w, http.StatusNotFound, "NoSuchUpload")
			return
		}
	}
	refuse(w, http.StatusBadRequest, "InvalidArgument")
}

func (s *server) complete(w http.ResponseWriter, bucket, key, upload string) {
	made := s.store.complete(upload)
	if made == nil {
		refuse(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	s.store.place(bucket, key, made)
	answer(w, "<CompleteMultipartUploadResult><ETag>"+made.etag+"</ETag></CompleteMultipartUploadResult>")
}

// body is what the client sends, without the frames of aws-chunked.
func body(r *http.Request) io.Reader {
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return newUnchunked(r.Body)
	}
	return r.Body
}

func answer(w http.ResponseWriter, document string) {
	w.Header().Set("Content-Type", "application/xml")
	io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+document)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	io.WriteString(w, "<Error><Code>"+code+"</Code><Message>"+code+"</Message></Error>")
}
