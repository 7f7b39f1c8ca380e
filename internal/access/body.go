package access

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"

	gust "github.com/gust-dev/gust"
)

// verifiedBody is a body that was read to be verified.
type verifiedBody struct {
	bytes.Reader
	data []byte
}

func (*verifiedBody) Close() error { return nil }

// Body returns the whole body of r without a copy, if it was read to verify the
// request's signature. The caller must not change it.
func Body(r *http.Request) ([]byte, bool) {
	if b, ok := r.Body.(*verifiedBody); ok {
		return b.data, true
	}
	return nil, false
}

// readBody takes the whole body of r, hashes it, and puts it back. proven tells
// that the sender holds the key, and may be trusted with the length it claims.
func readBody(r *http.Request, limit int64, proven bool) ([sha256.Size]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return sha256.Sum256(nil), nil
	}
	tooLarge := func(limit int64) error {
		return fmt.Errorf("the body is %w: the limit is %d bytes", gust.ErrTooLarge, limit)
	}
	if r.ContentLength > limit {
		return [sha256.Size]byte{}, tooLarge(limit)
	}
	size := max(r.ContentLength, 0) + 1 // one more, to meet the end without growing
	if !proven {
		size = min(size, 64*gust.KB)
	}
	data, err := readAll(r.Body, make([]byte, 0, max(size, bytes.MinRead)), limit)
	if over := (*http.MaxBytesError)(nil); errors.As(err, &over) {
		return [sha256.Size]byte{}, tooLarge(over.Limit)
	} else if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("reading the body to verify its signature: %w", err)
	}
	if int64(len(data)) > limit {
		return [sha256.Size]byte{}, tooLarge(limit)
	}
	if err := r.Body.Close(); err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("reading the body to verify its signature: %w", err)
	}
	b := &verifiedBody{data: data}
	b.Reset(data)
	r.Body = b
	return sha256.Sum256(data), nil
}

// readAll reads into buf until the end, or until there is more than limit.
func readAll(r io.Reader, buf []byte, limit int64) ([]byte, error) {
	for int64(len(buf)) <= limit {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}
