package main

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type piecefile struct {
	path string
	size int64
	etag string
}

type object struct {
	pieces   []piecefile
	size     int64
	etag     string
	crc32    string
	partSize int64
	written  time.Time
}

// send writes a range; files go to a plain connection by sendfile.
func (o *object) send(w http.ResponseWriter, first, length int64) {
	for _, piece := range o.pieces {
		if first >= piece.size {
			first -= piece.size
			continue
		}
		count := min(length, piece.size-first)
		if count == 0 {
			return
		}
		file, err := os.Open(piece.path)
		if err != nil {
			return
		}
		file.Seek(first, io.SeekStart)
		_, err = io.CopyN(w, file, count)
		file.Close()
		if err != nil {
			return
		}
		first, length = 0, length-count
	}
}

type bucket struct {
	objects map[string]*object
	keys    []string // sorted; nil: not yet
}

type store struct {
	directory string
	number    atomic.Int64
	received  atomic.Int64 // bytes that were put
	lock      sync.Mutex
	buckets   map[string]*bucket
	uploads   map[string]map[int]piecefile
	buffers   sync.Pool
}

func newStore(directory string) *store {
	if held, err := os.ReadDir(directory); err != nil || len(held) > 0 {
		log.Fatalf("%q is no empty directory", directory)
	}
	return &store{
		directory: directory,
		buckets:   map[string]*bucket{},
		uploads:   map[string]map[int]piecefile{},
		buffers:   sync.Pool{New: func() any { buffer := make([]byte, 256*1024); return &buffer }},
	}
}

func (s *store) next() string { return strconv.FormatInt(s.number.Add(1), 10) }

func (s *store) keep(body io.Reader) (piecefile, error) {
	path := filepath.Join(s.directory, s.next())
	file, err := os.Create(path)
	if err != nil {
		return piecefile{}, err
	}
	defer file.Close()
	buffer := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	// Not by ReadFrom and WriteTo, whose buffers are small.
	size, err := io.CopyBuffer(sparse{file}, struct{ io.Reader }{body}, *buffer)
	s.received.Add(size)
	if err == nil {
		err = file.Truncate(size)
	}
	if err != nil {
		os.Remove(path)
	}
	return piecefile{path, size, fmt.Sprintf(`"kept-%s"`, filepath.Base(path))}, err
}

// sparse leaves holes for zeros: an object of nothing else may be larger than the disk.
type sparse struct{ file *os.File }

var zeros = make([]byte, 256*1024)

func (s sparse) Write(data []byte) (int, error) {
	if len(data) > len(zeros) || !bytes.Equal(data, zeros[:len(data)]) {
		return s.file.Write(data)
	}
	_, err := s.file.Seek(int64(len(data)), io.SeekCurrent)
	return len(data), err
}

func (s *store) make(name string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.buckets[name] == nil {
		s.buckets[name] = &bucket{objects: map[string]*object{}}
	}
}

func (s *store) find(name, key string) *object {
	s.lock.Lock()
	defer s.lock.Unlock()
	if held := s.buckets[name]; held != nil {
		return held.objects[key]
	}
	return nil
}

func (s *store) place(name, key string, made *object) {
	s.lock.Lock()
	defer s.lock.Unlock()
	held := s.buckets[name]
	if held == nil {
		held = &bucket{objects: map[string]*object{}}
		s.buckets[name] = held
	}
	if former := held.objects[key]; former != nil {
		discard(former.pieces)
	} else {
		held.keys = nil
	}
	held.objects[key] = made
}

func (s *store) remove(name, key string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if held := s.buckets[name]; held != nil && held.objects[key] != nil {
		discard(held.objects[key].pieces)
		delete(held.objects, key)
		held.keys = nil
	}
}

func discard(pieces []piecefile) {
	for _, piece := range pieces {
		os.Remove(piece.path)
	}
}

func (s *store) start() string {
	s.lock.Lock()
	defer s.lock.Unlock()
	id := "upload-" + s.next()
	s.uploads[id] = map[int]piecefile{}
	return id
}

func (s *store) add(upload string, number int, piece piecefile) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	parts := s.uploads[upload]
	if parts == nil {
		return false
	}
	if former, there := parts[number]; there {
		os.Remove(former.path)
	}
	parts[number] = piece
	return true
}

func (s *store) complete(upload string) *object {
	s.lock.Lock()
	defer s.lock.Unlock()
	parts := s.uploads[upload]
	if parts == nil {
		return nil
	}
	delete(s.uploads, upload)
	made := &object{written: time.Now().UTC()}
	numbers := make([]int, 0, len(parts))
	for number := range parts {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		made.pieces = append(made.pieces, parts[number])
		made.size += parts[number].size
	}
	made.etag = fmt.Sprintf(`"%s-%d"`, upload, len(parts))
	return made
}

func (s *store) abort(upload string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, piece := range s.uploads[upload] {
		os.Remove(piece.path)
	}
	delete(s.uploads, upload)
}

// list is one page of ListObjectsV2, folders and all.
func (s *store) list(name string, query url.Values) string {
	s.lock.Lock()
	defer s.lock.Unlock()
	held := s.buckets[name]
	if held == nil {
		held = &bucket{}
	}
	if held.keys == nil {
		for key := range held.objects {
			held.keys = append(held.keys, key)
		}
		slices.Sort(held.keys)
	}
	prefix, delimiter := query.Get("prefix"), query.Get("delimiter")
	after := max(query.Get("continuation-token"), query.Get("start-after"))
	most, err := strconv.Atoi(query.Get("max-keys"))
	if err != nil || most > 1000 {
		most = 1000
	}
	var page strings.Builder
	count, last := 0, ""
	at, _ := slices.BinarySearch(held.keys, prefix)
	if after > prefix {
		var there bool
		if at, there = slices.BinarySearch(held.keys, after); there {
			at++
		}
	}
	more := false
	folder := ""
	for ; at < len(held.keys) && strings.HasPrefix(held.keys[at], prefix); at++ {
		key := held.keys[at]
		if folder != "" && strings.HasPrefix(key, folder) {
			last = key
			continue
		}
		if count == most {
			more = true
			break
		}
		count++
		last = key
		if delimiter != "" {
			if end := strings.Index(key[len(prefix):], delimiter); end >= 0 {
				folder = key[:len(prefix)+end+len(delimiter)]
				fmt.Fprintf(&page, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", coded(folder, query))
				continue
			}
		}
		item := held.objects[key]
		fmt.Fprintf(&page, "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>%s</ETag>", coded(key, query),
			item.written.Format("2006-01-02T15:04:05.000Z"), strings.ReplaceAll(item.etag, `"`, "&quot;"))
		if item.crc32 != "" {
			page.WriteString("<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>")
		}
		fmt.Fprintf(&page, "<Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>", item.size)
	}
	next, encoding := "", ""
	if more {
		next = "<NextContinuationToken>" + escaped(last) + "</NextContinuationToken>"
	}
	if query.Get("encoding-type") == "url" {
		encoding = "<EncodingType>url</EncodingType>"
	}
	return fmt.Sprintf("<ListBucketResult><Name>%s</Name><Prefix>%s</Prefix><KeyCount>%d</KeyCount><MaxKeys>%d</MaxKeys>%s"+
		"<IsTruncated>%t</IsTruncated>%s%s</ListBucketResult>", escaped(name), coded(prefix, query), count, most, encoding, more, next, page.String())
}

func coded(key string, query url.Values) string {
	if query.Get("encoding-type") == "url" {
		return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
	}
	return escaped(key)
}

func escaped(text string) string {
	var out strings.Builder
	xml.EscapeText(&out, []byte(text))
	return out.String()
}

// unchunked takes the frames of aws-chunked away: SIZE[;chunk-signature=...] CRLF bytes CRLF ... 0 CRLF trailers.
type unchunked struct {
	from *bufio.Reader
	left int64
	done bool
}

func newUnchunked(from io.Reader) io.Reader {
	return &unchunked{from: bufio.NewReaderSize(from, 64*1024)}
}

func (u *unchunked) Read(into []byte) (int, error) {
	if u.left == 0 && !u.done {
		line, err := u.from.ReadString('\n')
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		if u.left, err = strconv.ParseInt(size, 16, 64); err != nil {
			return 0, errors.New("no aws-chunked body")
		}
		if u.left == 0 {
			u.done = true
			if _, err := io.Copy(io.Discard, u.from); err != nil {
				return 0, err
			}
		}
	}
	if u.done {
		return 0, io.EOF
	}
	count, err := u.from.Read(into[:min(int64(len(into)), u.left)])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if u.left -= int64(count); u.left == 0 && err == nil {
		_, err = u.from.Discard(2)
	}
	return count, err
}
