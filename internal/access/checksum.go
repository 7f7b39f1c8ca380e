package access

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"slices"
	"strings"
)

// checksum is a trailer that tells the sum of the decoded body.
type checksum struct {
	name string // "x-amz-checksum-crc32"
	hash hash.Hash
}

const checksumPrefix = "x-amz-checksum-"

// nvme is the polynomial of CRC-64/NVME in the reversed notation.
const nvme = 0x9a6c9329ac4bc9b5

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "crc32":
		return crc32.NewIEEE()
	case "crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "crc64nvme":
		return crc64.New(crc64.MakeTable(nvme))
	case "sha1":
		return sha1.New()
	case "sha256":
		return sha256.New()
	}
	return nil
}

// namedChecksums are those that the values of x-amz-trailer tell of.
func namedChecksums(values []string, trailers bool) (sums []*checksum, err error) {
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			algorithm, _ := strings.CutPrefix(name, checksumPrefix)
			h := newHash(algorithm)
			if h == nil || len(algorithm) == len(name) {
				return nil, &Error{Unsupported, fmt.Sprintf("the trailer %.64q (x-amz-trailer) is not supported: use %scrc32, -crc32c, -crc64nvme, -sha1 or -sha256", name, checksumPrefix)}
			}
			if slices.ContainsFunc(sums, func(s *checksum) bool { return s.name == name }) {
				return nil, &Error{BadChunks, fmt.Sprintf("x-amz-trailer names %q twice", name)}
			}
			sums = append(sums, &checksum{name, h})
		}
	}
	switch {
	case trailers && len(sums) == 0:
		return nil, &Error{BadChunks, "x-amz-content-sha256 tells of trailers, and x-amz-trailer names none"}
	case !trailers && len(sums) > 0:
		return nil, &Error{BadChunks, "x-amz-trailer names trailers, and x-amz-content-sha256 does not tell of any"}
	}
	return sums, nil
}

// verifyChecksums compares the sums with the trailers, which have to be those
// that were named.
func verifyChecksums(sums []*checksum, trailers []trailer) error {
	for _, t := range trailers {
		if !slices.ContainsFunc(sums, func(s *checksum) bool { return s.name == t.name }) {
			return &Error{BadChunks, fmt.Sprintf("x-amz-trailer does not name the trailer %.64q", t.name)}
		}
	}
	for _, s := range sums {
		i := slices.IndexFunc(trailers, func(t trailer) bool { return t.name == s.name })
		if i < 0 {
			return &Error{BadChunks, fmt.Sprintf("the trailer %s, which x-amz-trailer names, did not come", s.name)}
		}
		if trailers[i].value != base64.StdEncoding.EncodeToString(s.hash.Sum(nil)) {
			return &Error{BadChecksum, fmt.Sprintf("the body's checksum is not the one of the trailer %s", s.name)}
		}
	}
	return nil
}

// canonicalTrailers is what the signature of trailers is made over: a line each,
// in the order of their names.
func canonicalTrailers(trailers []trailer) []byte {
	sorted := slices.SortedFunc(slices.Values(trailers), func(a, b trailer) int { return strings.Compare(a.name, b.name) })
	var buf []byte
	for _, t := range sorted {
		buf = append(append(append(append(buf, t.name...), ':'), t.value...), '\n')
	}
	return buf
}
