package lambda

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/aws/eventstream"
	"github.com/gust-dev/gust/internal/invoke"
)

const streamPath = "/2021-11-15/functions/hello/response-streaming-invocations"

// completion is the last message.
type completion struct{ ErrorCode, ErrorDetails, LogResult string }

// messagesOf are the messages of a stream: the payloads of all chunks together, and
// what it completed with. The encoding itself is tested in eventstream.
func messagesOf(t *testing.T, w *httptest.ResponseRecorder) (chunks int, payload string, end completion) {
	t.Helper()
	if w.Code != 200 || w.Header().Get("Content-Type") != eventstream.ContentType || w.Header().Get("X-Amz-Executed-Version") != "7" || !w.Flushed {
		t.Fatal(w.Code, w.Header(), w.Body)
	}
	b := w.Body.Bytes()
	done := false
	for len(b) > 0 {
		total, headers := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		message := b[:total]
		b = b[total:]
		head, body := string(message[12:12+headers]), message[12+headers:total-4]
		switch {
		case done:
			t.Error("a message after the end")
		case strings.Contains(head, "PayloadChunk") && strings.Contains(head, "application/octet-stream"):
			chunks++
			payload += string(body)
		case strings.Contains(head, "InvokeComplete") && strings.Contains(head, "application/json"):
			if err := json.Unmarshal(body, &end); err != nil {
				t.Fatal(err)
			}
			done = true
		default:
			t.Errorf("message %q", message)
		}
	}
	if !done {
		t.Error("the stream has no end")
	}
	return chunks, payload, end
}

func streaming(r io.Reader) *invoker {
	return &invoker{resp: &invoke.Response{Version: 7, Result: &gust.Result{Stream: io.NopCloser(r)}, LogTail: []byte("log")}}
}

func TestInvokeWithResponseStream(t *testing.T) {
	failure := &gust.FunctionError{Outcome: gust.OutcomeTimeout, Type: "Sandbox.Timedout", Message: "after 3s"}
	for _, c := range []struct {
		name    string
		iv      *invoker
		chunks  int
		payload string
		end     completion
	}{
		{"streamed", streaming(iotest.OneByteReader(strings.NewReader("abc"))), 3, "abc", completion{LogResult: "bG9n"}},
		{"nothing", streaming(strings.NewReader("")), 0, "", completion{LogResult: "bG9n"}},
		{"whole", answer(strings.Repeat("x", chunkSize+1)), 2, strings.Repeat("x", chunkSize+1), completion{LogResult: "U1RBUlQKRU5ECg=="}},
		{"broken off", streaming(io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(failure))), 1, "ab",
			completion{"Sandbox.Timedout", `{"errorType":"Sandbox.Timedout","errorMessage":"after 3s"}`, "bG9n"}},
		{"broken by the node", streaming(iotest.ErrReader(errors.New("odd"))), 0, "",
			completion{"Runtime.StreamError", `{"errorType":"Runtime.StreamError","errorMessage":"odd"}`, "bG9n"}},
		{"failed at once", &invoker{resp: &invoke.Response{Version: 7, Error: &gust.FunctionError{Outcome: gust.OutcomeError, Payload: []byte(`{"a":1}`)}}}, 0, "",
			completion{"Unhandled", `{"a":1}`, ""}},
	} {
		chunks, payload, end := messagesOf(t, serve(t, c.iv, request("POST", streamPath, "{}", "X-Amz-Log-Type", "Tail")))
		if chunks != c.chunks || payload != c.payload || end != c.end {
			t.Errorf("%s: %d chunks %.20q, end %+v", c.name, chunks, payload, end)
		}
		if !c.iv.got.Tail {
			t.Errorf("%s: no tail was asked for", c.name)
		}
	}
	if w := serve(t, answer("1"), request("POST", streamPath, "{}", "X-Amz-Invocation-Type", "DryRun")); w.Code != 204 {
		t.Error(w.Code)
	}
}

// TestInvokeOfAStream: Invoke reads a stream to its end, up to its own limit.
func TestInvokeOfAStream(t *testing.T) {
	w := serve(t, streaming(iotest.HalfReader(strings.NewReader("abcdef"))), request("POST", helloPath, "{}"))
	if w.Code != 200 || w.Body.String() != "abcdef" {
		t.Error(w.Code, w.Body)
	}
	w = serve(t, streaming(bytes.NewReader(make([]byte, gust.MaxSyncPayload+1))), request("POST", helloPath, "{}"))
	if w.Code != 200 || w.Header().Get("X-Amz-Function-Error") != "Unhandled" || !strings.Contains(w.Body.String(), `"Function.ResponseSizeTooLarge"`) ||
		!strings.Contains(w.Body.String(), "6 MB") {
		t.Error(w.Code, w.Body)
	}
	w = serve(t, streaming(iotest.ErrReader(&gust.FunctionError{Type: "T", Message: "m"})), request("POST", helloPath, "{}"))
	if w.Code != 200 || w.Body.String() != `{"errorType":"T","errorMessage":"m"}` {
		t.Error(w.Code, w.Body)
	}
}
