package main

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
)

// How the bytes of a request are looked at while they come.
const (
	// Not at all.
	byNothing = ""
	// Against the checksum that S3 sends with a whole object, if it is asked to; by MD5 if it sends none.
	byAnswer = "answer"
	// Their MD5, against the ETag if they are a whole object.
	byMD5 = "md5"
	// Their CRC32, which the agent puts together with those of the other ranges.
	byCRC32 = "crc32"
)

var (
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5)
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Checksums that S3 may have stored, the cheapest first.
var known = []struct {
	header string
	digest func() hash.Hash
}{
	{"X-Amz-Checksum-Crc32", func() hash.Hash { return crc32.NewIEEE() }},
	{"X-Amz-Checksum-Crc64nvme", func() hash.Hash { return crc64.New(nvme) }},
	{"X-Amz-Checksum-Crc32c", func() hash.Hash { return crc32.New(castagnoli) }},
	{"X-Amz-Checksum-Sha256", sha256.New},
	{"X-Amz-Checksum-Sha1", sha1.New},
}

// damage is an error: whole, and not right.
type damage string

func (d damage) Error() string { return string(d) }

// proof grows with the bytes of one request.
type proof struct {
	request *request
	digest  hash.Hash
	// The value that S3 sent, in base64; empty: none.
	wanted string
}

func newProof(r *request, answer http.Header) *proof {
	p := &proof{request: r}
	switch r.proof {
	case byMD5:
		p.digest = md5.New()
	case byCRC32:
		p.digest = crc32.NewIEEE()
	case byAnswer:
		for _, each := range known {
			value := strings.TrimSpace(answer.Get(each.header))
			// With a dash it is made of those of parts. Base64 as S3 has it knows none.
			if value != "" && !strings.Contains(value, "-") && answer.Get("X-Amz-Checksum-Type") != "COMPOSITE" {
				p.digest, p.wanted = each.digest(), value
				break
			}
		}
		if p.wanted == "" {
			p.digest = md5.New()
		}
	}
	return p
}

func (p *proof) add(block []byte) {
	if p.digest != nil {
		p.digest.Write(block)
	}
}

// whole says whether the bytes are those that S3 has; an error: they are not. False: nothing tells.
func (p *proof) whole() (bool, error) {
	if p.digest == nil {
		return p.request.proof == byNothing, nil
	}
	if p.wanted != "" {
		if got := base64.StdEncoding.EncodeToString(p.digest.Sum(nil)); got != p.wanted {
			return false, damage(fmt.Sprintf("a checksum is %s, and S3 has %s", got, p.wanted))
		}
		return true, nil
	}
	return p.request.proof != byCRC32 && p.text() == bare(p.request.etag), nil
}

// text is the digest as the agent gets it, if there is one: hex.
func (p *proof) text() string {
	switch {
	case p.digest == nil || p.wanted != "":
		return ""
	case p.request.proof == byCRC32:
		return hex.EncodeToString(binary.BigEndian.AppendUint32(nil, p.digest.(hash.Hash32).Sum32()))
	}
	return hex.EncodeToString(p.digest.Sum(nil))
}

// bare is an ETag as it can be compared: servers quote it in one place and not in another, and proxies mark it as weak.
func bare(etag string) string {
	return strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
}
