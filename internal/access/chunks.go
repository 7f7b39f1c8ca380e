package access

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Bounds on what frames the bytes of a chunked body.
const (
	maxChunkHeader = 256
	maxTrailers    = 4 << 10
)

// emptyHash is the SHA-256 of nothing, which a chunk's string to sign holds.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// chunks decodes a body of the content coding aws-chunked. A signed chunk is
// verified as a whole before its bytes are handed on; the last bytes are handed
// on when the end and the trailers are verified too. Who sends it is known to
// hold the key, since the signature of the headers, from which that of the
// first chunk is made, has been verified.
//
// The format is that of "Signature Calculations for the Authorization Header:
// Transferring Payload in Multiple Chunks" and its page on trailers in the
// Amazon S3 API Reference.
type chunks struct {
	body     io.Closer
	of       *incoming
	in       *bufio.Reader
	auth     authorization
	key      signingKey
	signed   bool
	limit    int64 // of a signed chunk
	before   [2 * sha256.Size]byte
	left     int64 // decoded bytes of the body that have not come yet
	size     int64 // bytes of an unsigned chunk that have not come yet
	ready    []byte
	buf      []byte // holds signed chunks, one after another
	text     []byte // holds strings to sign
	number   int    // of the chunk, for errors
	trailers bool
	sums     []*checksum
	trailer  http.Header
	err      error
}

// openChunks puts the decoded body in the place of the one that was sent.
func (a *Authenticator) openChunks(r *http.Request, auth *authorization, p payload, key signingKey) error {
	length := r.Header["X-Amz-Decoded-Content-Length"]
	if len(length) != 1 {
		return &Error{BadChunks, "a body in chunks needs one header x-amz-decoded-content-length"}
	}
	left, err := strconv.ParseInt(length[0], 10, 64)
	if err != nil || left < 0 {
		return &Error{BadChunks, fmt.Sprintf("x-amz-decoded-content-length is %.32q, which is no number of bytes", length[0])}
	}
	sums, err := namedChecksums(r.Header["X-Amz-Trailer"], p.trailers)
	if err != nil {
		return err
	}
	body := r.Body
	if body == nil {
		body = http.NoBody
	}
	r.Trailer = make(http.Header, len(sums))
	c := &chunks{
		body: body, of: incomingOf(r), in: bufio.NewReaderSize(body, 4<<10), auth: *auth, key: key, signed: p.signed, limit: a.maxBody,
		left: left, trailers: p.trailers, sums: sums, trailer: r.Trailer,
	}
	hex.Encode(c.before[:], auth.signature[:])
	if left == 0 { // who expects no bytes may not read
		if err := c.finish(); err != nil {
			return err
		}
	}
	r.Body, r.ContentLength = c, left
	dropEncoding(r.Header)
	return nil
}

// dropEncoding takes aws-chunked out of Content-Encoding: it is undone, and no
// property of what was sent.
func dropEncoding(h http.Header) {
	var kept []string
	for _, value := range h["Content-Encoding"] {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "aws-chunked") {
				kept = append(kept, coding)
			}
		}
	}
	if h.Del("Content-Encoding"); len(kept) > 0 {
		h.Set("Content-Encoding", strings.Join(kept, ","))
	}
}

func (c *chunks) Close() error { return c.body.Close() }

func (c *chunks) Read(p []byte) (n int, err error) {
	if c.err == nil && len(p) > 0 {
		n, c.err = c.read(p)
	}
	if c.err != nil {
		return 0, c.err
	}
	return n, nil
}

func (c *chunks) read(p []byte) (n int, err error) {
	if len(c.ready) == 0 && c.size == 0 {
		if c.left == 0 {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if c.signed {
		n = copy(p, c.ready)
		c.ready = c.ready[n:]
		return n, nil
	}
	n, err = c.in.Read(p[:min(int64(len(p)), c.size)])
	if err != nil && (err != io.EOF || n == 0) {
		return 0, c.broken(err)
	}
	c.size -= int64(n)
	c.left -= int64(n)
	return n, c.take(p[:n], c.size == 0)
}

// take sums bytes of a chunk up, and reads what follows its last ones.
func (c *chunks) take(p []byte, last bool) error {
	for _, s := range c.sums {
		s.hash.Write(p)
	}
	if !last {
		return nil
	}
	var end [2]byte
	if _, err := io.ReadFull(c.in, end[:]); err != nil {
		return c.broken(err)
	}
	if string(end[:]) != "\r\n" {
		return c.bad("does not end with CR LF where its size says")
	}
	if c.left == 0 {
		return c.finish()
	}
	return nil
}

// next reads the header of a chunk, and all of a signed one.
func (c *chunks) next() error {
	size, signature, err := c.header()
	switch {
	case err != nil:
		return err
	case size == 0:
		return c.bad("is the last one: x-amz-decoded-content-length tells of %d bytes more", c.left)
	case size > c.left:
		return c.bad("has %d bytes: x-amz-decoded-content-length leaves %d", size, c.left)
	case !c.signed:
		c.size = size
		return nil
	case size > c.limit:
		return tooLarge("chunk", c.limit)
	}
	if more := size - int64(cap(c.buf)); more > 0 {
		if err := c.of.take(more); err != nil {
			return err
		}
		c.buf = make([]byte, size)
	}
	c.buf = c.buf[:size]
	if _, err := io.ReadFull(c.in, c.buf); err != nil {
		return c.broken(err)
	}
	if err := c.verify(c.buf, signature); err != nil {
		return err
	}
	c.ready = c.buf
	c.left -= size
	return c.take(c.buf, true)
}

// finish reads and verifies what follows the last bytes.
func (c *chunks) finish() error {
	size, signature, err := c.header()
	if err != nil {
		return err
	}
	if size != 0 {
		return c.bad("has %d bytes more than x-amz-decoded-content-length tells of", size)
	}
	if c.signed {
		if err := c.verify(nil, signature); err != nil {
			return err
		}
	}
	rest, err := io.ReadAll(io.LimitReader(c.in, maxTrailers+1))
	if err != nil {
		return c.broken(err)
	}
	if len(rest) > maxTrailers {
		return &Error{BadChunks, fmt.Sprintf("more than %d bytes follow the last chunk", maxTrailers)}
	}
	return c.verifyTrailers(rest)
}

// header reads "<size in hex>;chunk-signature=<hex>", or the size alone where
// chunks are not signed.
func (c *chunks) header() (size int64, signature string, err error) {
	c.number++
	line, err := c.in.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull || len(line) > maxChunkHeader:
		return 0, "", c.bad("has a header longer than %d bytes", maxChunkHeader)
	case err != nil:
		return 0, "", c.broken(err)
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if c.signed && ok {
		text, signature, ok = strings.Cut(text, ";chunk-signature=")
		ok = ok && len(signature) == 2*sha256.Size && all(signature, lowerHex)
	}
	size, perr := strconv.ParseInt(text, 16, 64)
	if !ok || perr != nil || text[0] == '-' || text[0] == '+' {
		if c.signed {
			return 0, "", c.bad("has a header that is not <size in hexadecimal>;chunk-signature=<64 lower-case hexadecimal characters>")
		}
		return 0, "", c.bad("has a header that is not its size in hexadecimal")
	}
	return size, signature, nil
}

// verify checks the signature of a chunk, which the next one's is made from.
func (c *chunks) verify(data []byte, signature string) error {
	sum := sha256.Sum256(data)
	c.text = appendScope(append(c.text[:0], algorithm+"-PAYLOAD\n"...), &c.auth)
	c.text = append(append(c.text, c.before[:]...), "\n"+emptyHash+"\n"...)
	return c.compare(hex.AppendEncode(c.text, sum[:]), signature, "chunk "+strconv.Itoa(c.number))
}

// compare takes a string to sign.
func (c *chunks) compare(text []byte, signature, what string) error {
	c.text = text
	sum := mac(c.key[:], text)
	hex.Encode(c.before[:], sum[:])
	if subtle.ConstantTimeCompare(c.before[:], []byte(signature)) != 1 {
		return &Error{BodyMismatch, "the signature of " + what + " is not that of its bytes in their place"}
	}
	return nil
}

// verifyTrailers checks what follows the last chunk: the trailers, their
// signature, and what they say.
func (c *chunks) verifyTrailers(rest []byte) error {
	trailers, signature, err := parseTrailers(rest)
	if err != nil {
		return &Error{BadChunks, err.Error()}
	}
	switch {
	case !c.trailers && len(trailers)+len(signature) > 0:
		return &Error{BadChunks, "trailers follow the last chunk, and x-amz-content-sha256 does not tell of any"}
	case c.trailers && c.signed && signature == "":
		return &Error{BadChunks, "the trailers have no " + trailerSignature}
	case !c.signed && signature != "":
		return &Error{BadChunks, "the trailers have a " + trailerSignature + ", and the chunks are not signed"}
	}
	if c.trailers && c.signed {
		sum := sha256.Sum256(canonicalTrailers(trailers))
		text := appendScope(append(c.text[:0], algorithm+"-TRAILER\n"...), &c.auth)
		text = append(append(text, c.before[:]...), '\n')
		if err := c.compare(hex.AppendEncode(text, sum[:]), signature, "the trailers"); err != nil {
			return err
		}
	}
	if err := verifyChecksums(c.sums, trailers); err != nil {
		return err
	}
	for _, t := range trailers {
		c.trailer.Set(t.name, t.value)
	}
	return nil
}

func (c *chunks) bad(format string, args ...any) error {
	return &Error{BadChunks, fmt.Sprintf("chunk %d of the body ", c.number) + fmt.Sprintf(format, args...)}
}

// broken tells of a body that ends too early, or of what ended it.
func (c *chunks) broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return c.bad("is cut off")
	}
	return readError(err)
}

const trailerSignature = "x-amz-trailer-signature"

// trailer is a header that follows the body; its name is in lower case.
type trailer struct{ name, value string }

// parseTrailers reads "name:value" lines, of which the signature, if there is
// one, has to be the last. Clients end lines with CR LF, with LF, and with both;
// empty ones say nothing.
func parseTrailers(rest []byte) (trailers []trailer, signature string, err error) {
	for line := range bytes.Lines(rest) {
		text := strings.Trim(string(line), "\r\n")
		if text == "" {
			continue
		}
		name, value, ok := strings.Cut(text, ":")
		name = strings.ToLower(name)
		value = strings.Trim(value, " \t")
		switch {
		case signature != "":
			return nil, "", errors.New("something follows the signature of the trailers")
		case !ok || name == "" || value == "" || !all(name, headerChar) || !all(value, valueChar):
			return nil, "", errors.New("a trailer is not name:value")
		case name == trailerSignature:
			if len(value) != 2*sha256.Size || !all(value, lowerHex) {
				return nil, "", errors.New(trailerSignature + " is not 64 lower-case hexadecimal characters")
			}
			signature = value
			continue
		}
		for _, t := range trailers {
			if t.name == name {
				return nil, "", fmt.Errorf("there are two trailers %.64q", name)
			}
		}
		trailers = append(trailers, trailer{name, value})
	}
	return trailers, signature, nil
}
