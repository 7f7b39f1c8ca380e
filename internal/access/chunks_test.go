package access

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	gust "github.com/gust-dev/gust"
)

// example is a PUT of 65 KB of "a" in two chunks. Source: the examples "PUT
// Object" of "Signature Calculations for the Authorization Header: Transferring
// Payload in Multiple Chunks" and "... Including Trailing Headers" in the Amazon
// S3 API Reference. (That page once had another signature of the trailers, which
// was not that of its own string to sign.)
type example struct {
	form, seed string
	headers    map[string]string
	signatures [3]string
	trailers   string
}

var (
	exampleChunks = example{
		form: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", seed: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
		headers: map[string]string{"Content-Length": "66824"},
		signatures: [3]string{
			"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
			"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
			"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
		},
		trailers: "\r\n",
	}
	exampleTrailers = example{
		form: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", seed: "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
		headers: map[string]string{"X-Amz-Trailer": "x-amz-checksum-crc32c"},
		signatures: [3]string{
			"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
			"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
			"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
		},
		trailers: "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
	}
)

func (e example) body() string {
	return "10000;chunk-signature=" + e.signatures[0] + "\r\n" + strings.Repeat("a", 64<<10) + "\r\n" +
		"400;chunk-signature=" + e.signatures[1] + "\r\n" + strings.Repeat("a", 1<<10) + "\r\n" +
		"0;chunk-signature=" + e.signatures[2] + "\r\n" + e.trailers
}

func (e example) request(t testing.TB, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("PUT", "https://s3.amazonaws.com/examplebucket/chunkObject.txt", iotest.HalfReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = int64(len(body))
	r.Header.Set("X-Amz-Date", "20130524T000000Z")
	r.Header.Set("X-Amz-Storage-Class", "REDUCED_REDUNDANCY")
	r.Header.Set("X-Amz-Content-Sha256", e.form)
	r.Header.Set("Content-Encoding", "aws-chunked")
	r.Header.Set("X-Amz-Decoded-Content-Length", "66560")
	signed := "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class"
	for name, value := range e.headers {
		r.Header.Set(name, value)
		if name == "Content-Length" {
			signed = strings.Replace(signed, ";", ";content-length;", 1)
		} else {
			signed += ";" + strings.ToLower(name)
		}
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders="+signed+",Signature="+e.seed)
	return r
}

func TestPublishedChunkVectors(t *testing.T) {
	for _, e := range []example{exampleChunks, exampleTrailers} {
		r := e.request(t, e.body())
		if _, err := exampleAuthenticator(Options{}).Authenticate(r); err != nil {
			t.Errorf("%s: %v", e.form, err)
			continue
		}
		if _, whole := Body(r); whole || r.ContentLength != 66560 || r.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: read at once: %v; %d bytes, encoded as %q", e.form, whole, r.ContentLength, r.Header.Get("Content-Encoding"))
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || string(got) != strings.Repeat("a", 66560) {
			t.Errorf("%s: %d bytes, %v", e.form, len(got), err)
		}
		if sum := r.Trailer.Get("X-Amz-Checksum-Crc32c"); e.headers["X-Amz-Trailer"] != "" && sum != "sOO8/Q==" {
			t.Errorf("%s: the trailer is %q", e.form, sum)
		}
	}
}

// Each attack changes the bytes of a body whose headers are signed rightly.
func TestChunksThatWereChanged(t *testing.T) {
	one := "10000;chunk-signature=" + exampleTrailers.signatures[0] + "\r\n" + strings.Repeat("a", 64<<10) + "\r\n"
	two := "400;chunk-signature=" + exampleTrailers.signatures[1] + "\r\n" + strings.Repeat("a", 1<<10) + "\r\n"
	end := "0;chunk-signature=" + exampleTrailers.signatures[2] + "\r\n"
	good := exampleTrailers.trailers
	tests := []struct {
		name  string
		body  string
		whole int // bytes that may be handed on: those of chunks that are right
		code  Code
	}{
		{"a byte of the first", strings.Replace(one, "aa", "ab", 1) + two + end + good, 0, BodyMismatch},
		{"a byte of the second", one + strings.Replace(two, "aa", "ab", 1) + end + good, 65536, BodyMismatch},
		{"the second one first", two + one + end + good, 0, BodyMismatch},
		{"the second one left out", one + end + good, 65536, BadChunks},
		{"the first one twice", one + one + end + good, 65536, BadChunks},
		{"signatures exchanged", strings.Replace(one, exampleTrailers.signatures[0], exampleTrailers.signatures[1], 1) + two + end + good, 0, BodyMismatch},
		{"another request's chunk", strings.Replace(one, exampleTrailers.signatures[0], exampleChunks.signatures[0], 1) + two + end + good, 0, BodyMismatch},
		{"no last one", one + two, 65536, BadChunks},
		{"another last one", one + two + strings.Replace(end, "signature=2", "signature=3", 1) + good, 65536, BodyMismatch},
		{"cut off in a chunk", one[:30000], 0, BadChunks},
		{"cut off in a header", one + two[:10], 65536, BadChunks},
		{"no trailers", one + two + end + "\r\n", 65536, BadChunks},
		{"no signature of the trailers", one + two + end + "x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n", 65536, BadChunks},
		{"another trailer", one + two + end + strings.Replace(good, "sOO8", "tOO8", 1), 65536, BodyMismatch},
		{"a trailer more", one + two + end + "x-amz-checksum-crc32:AAAAAA==\r\n" + good, 65536, BodyMismatch},
		{"something after the trailers", one + two + end + good + "x:y\r\n", 65536, BadChunks},
		{"too much after the end", one + two + end + strings.Repeat("\r\n", maxTrailers), 65536, BadChunks},
		{"another end of a chunk", strings.Replace(one, "a\r\n", "a\n\n", 1) + two + end + good, 0, BadChunks},
		{"a size of more", strings.Replace(one, "10000;", "10401;", 1) + two + end + good, 0, BadChunks},
		{"a size beyond all", "ffffffffffffffffff" + one[5:], 0, BadChunks},
		{"a negative size", "-" + one, 0, BadChunks},
		{"a size with a sign", "+" + one, 0, BadChunks},
		{"a size with a prefix", "0x" + one, 0, BadChunks},
		{"no size", one[5:], 0, BadChunks},
		{"no signature", "10000\r\n" + strings.Repeat("a", 64<<10) + "\r\n" + two + end + good, 0, BadChunks},
		{"a header without end", strings.Repeat("0", 100_000), 0, BadChunks},
		{"a header that is too long", strings.Repeat("0", maxChunkHeader) + one, 0, BadChunks},
		{"a line feed alone after a header", strings.Replace(one, "\r\n", "\n", 1) + two + end + good, 0, BadChunks},
		{"nothing", "", 0, BadChunks},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := exampleTrailers.request(t, tt.body)
			if _, err := exampleAuthenticator(Options{}).Authenticate(r); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r.Body)
			if !hasCode(err, tt.code) {
				t.Errorf("got %v; want the code %q", err, tt.code)
			}
			if string(got) != strings.Repeat("a", tt.whole) {
				t.Errorf("%d bytes were handed on; want the %d that were verified", len(got), tt.whole)
			}
			if _, again := r.Body.Read(make([]byte, 1)); again != err {
				t.Errorf("after the error there is %v", again)
			}
		})
	}
}

func TestSignedChunksAreBounded(t *testing.T) {
	r := exampleTrailers.request(t, exampleTrailers.body())
	if _, err := exampleAuthenticator(Options{MaxBody: 65535}).Authenticate(r); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r.Body); !errors.Is(err, gust.ErrTooLarge) || !strings.Contains(err.Error(), "65535") {
		t.Errorf("got %v", err)
	}
}

func TestChunksThatBreakOff(t *testing.T) {
	gone := errors.New("the peer is gone")
	r := exampleTrailers.request(t, "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(exampleTrailers.body()[:30000]), iotest.ErrReader(gone)))
	if _, err := exampleAuthenticator(Options{}).Authenticate(r); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r.Body); !errors.Is(err, gone) {
		t.Errorf("got %v; want that the peer is gone", err)
	}
}

// sendChunks is a request that an SDK's unsigned chunks come with.
func sendChunks(t testing.TB, form, length, trailer, body string) (*http.Request, error) {
	t.Helper()
	out, err := http.NewRequest("PUT", "http://127.0.0.1:4566/bucket/key", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	out.Header.Set("X-Amz-Decoded-Content-Length", length)
	out.Header.Set("Content-Encoding", "gzip,aws-chunked")
	if trailer != "" {
		out.Header.Set("X-Amz-Trailer", trailer)
	}
	s := newSigner()
	s.service, s.payload = "s3", form
	s.sign(out, nil)
	in := received(t, out)
	in.RemoteAddr = "127.0.0.1:5"
	_, err = testAuthenticator(Options{}).Authenticate(in)
	return in, err
}

// The check values are those of the catalogue of parametrised CRC algorithms
// (CRC-32/ISO-HDLC, CRC-32/ISCSI, CRC-64/NVME) and of sha1sum and sha256sum, for
// "123456789".
var checkSums = map[string]string{
	"x-amz-checksum-crc32":     "y/Q5Jg==",
	"x-amz-checksum-crc32c":    "4waSgw==",
	"x-amz-checksum-crc64nvme": "rosUhgp5mIg=",
	"x-amz-checksum-sha1":      "98O8HYCOBHMq32eZZczDTKeuNEE=",
	"x-amz-checksum-sha256":    "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
}

func TestUnsignedChunksAndTheirChecksums(t *testing.T) {
	const form = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	for name, sum := range checkSums {
		for _, body := range []string{
			"9\r\n123456789\r\n0\r\n" + name + ":" + sum + "\r\n\r\n",
			"4\r\n1234\r\n5\r\n56789\r\n0\r\n" + strings.ToUpper(name) + ": " + sum + "\n\r\n",
			"1\r\n1\r\n08\r\n23456789\r\n0\r\n\r\n" + name + ":" + sum + "\r\n",
		} {
			r, err := sendChunks(t, form, "9", name, body)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got, err := io.ReadAll(iotest.OneByteReader(r.Body)); err != nil || string(got) != "123456789" {
				t.Errorf("%q: got %q, %v", body, got, err)
			}
			if r.Header.Get("Content-Encoding") != "gzip" || r.Trailer.Get(name) != sum {
				t.Errorf("%q: encoded as %q, the trailer is %q", body, r.Header.Get("Content-Encoding"), r.Trailer.Get(name))
			}
		}
		r, err := sendChunks(t, form, "9", name, "9\r\n123456780\r\n0\r\n"+name+":"+sum+"\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r.Body); !hasCode(err, BadChecksum) || len(got) != 0 {
			t.Errorf("%s of another body: %q, %v", name, got, err)
		}
	}
}

func TestEmptyChunksAreVerifiedAtOnce(t *testing.T) {
	const form, name = "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-checksum-crc32"
	r, err := sendChunks(t, form, "0", name, "0\r\n"+name+":AAAAAA==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r.Body); len(got) != 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := sendChunks(t, form, "0", name, "0\r\n"+name+":AAAAAQ==\r\n\r\n"); !hasCode(err, BadChecksum) {
		t.Errorf("another checksum: %v", err)
	}
}

func TestChunkHeadersThatAreRefused(t *testing.T) {
	const signed, unsigned, name = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-checksum-crc32"
	tests := []struct {
		form, length, trailer string
		code                  Code
		word                  string
	}{
		{signed, "", "", BadChunks, "x-amz-decoded-content-length"},
		{signed, "-1", "", BadChunks, "x-amz-decoded-content-length"},
		{signed, "9e3", "", BadChunks, "x-amz-decoded-content-length"},
		{signed, "9", name, BadChunks, "does not tell of any"},
		{unsigned, "9", "", BadChunks, "names none"},
		{unsigned, "9", name + "," + name, BadChunks, "twice"},
		{unsigned, "9", "x-amz-checksum-md5", Unsupported, "x-amz-checksum-md5"},
		{unsigned, "9", "crc32", Unsupported, "crc32c"},
	}
	for _, tt := range tests {
		if _, err := sendChunks(t, tt.form, tt.length, tt.trailer, "9\r\n"); !hasCode(err, tt.code) || !strings.Contains(err.Error(), tt.word) {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}

// A body that is far larger than what may be read into memory passes through in
// a buffer's room.
func TestChunksAreStreamed(t *testing.T) {
	const size = 64 << 20
	pr, pw := io.Pipe()
	out, err := http.NewRequest("PUT", "http://127.0.0.1:4566/bucket/key", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	out.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(size))
	out.Header.Set("X-Amz-Trailer", "x-amz-checksum-sha256")
	s := newSigner()
	s.service, s.payload = "s3", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	s.sign(out, nil)
	in := received(t, out)
	in.Body, in.ContentLength, in.RemoteAddr = pr, -1, "[::1]:5"
	done := make(chan error, 1)
	go func() {
		block, sum := make([]byte, 1<<20), sha256.New()
		_, err := fmt.Fprintf(pw, "%x\r\n", size)
		for range size / len(block) {
			sum.Write(block)
			if err == nil {
				_, err = pw.Write(block)
			}
		}
		fmt.Fprintf(pw, "\r\n0\r\nx-amz-checksum-sha256:%s\r\n\r\n", base64Of(sum.Sum(nil)))
		done <- errors.Join(err, pw.Close())
	}()
	if _, err := testAuthenticator(Options{}).Authenticate(in); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if n, err := io.Copy(io.Discard, in.Body); err != nil || n != size {
		t.Errorf("%d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > size/16 {
		t.Errorf("%d bytes of memory for a body of %d", allocated, size)
	}
}

// signChunks frames the parts as an SDK does, sharing no code with what reads
// them.
func signChunks(seed string, parts [][]byte, trailers string) []byte {
	scope := testTime.Format("20060102") + "/us-east-1/s3/aws4_request"
	key := []byte("AWS4" + testKey.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = hmacOf(key, part)
	}
	hash := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	sign := func(kind, rest string) string {
		seed = hex.EncodeToString(hmacOf(key, "AWS4-HMAC-SHA256-"+kind+"\n"+testTime.Format("20060102T150405Z")+"\n"+scope+"\n"+seed+"\n"+rest))
		return seed
	}
	var b bytes.Buffer
	for _, part := range append(parts, nil) {
		fmt.Fprintf(&b, "%x;chunk-signature=%s\r\n%s", len(part), sign("PAYLOAD", hash(nil)+"\n"+hash(part)), part)
		if len(part) > 0 {
			b.WriteString("\r\n")
		}
	}
	if trailers != "" {
		fmt.Fprintf(&b, "%s\r\nx-amz-trailer-signature:%s\r\n", trailers, sign("TRAILER", hash([]byte(trailers+"\n"))))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func hmacOf(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, s)
	return h.Sum(nil)
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func hexOf(b []byte) string { return hex.EncodeToString(b) }
