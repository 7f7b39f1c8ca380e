package wire

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// TestBodiesThatAreNotTaken: who sends a body when the node holds as many as it
// may, or too slowly, is told so in the words of the protocol: whoever it is.
func TestBodiesThatAreNotTaken(t *testing.T) {
	h, _ := handler(t)
	full := access.NewBodies(16) // one byte of small ones of whoever proves nothing, and eleven of others
	unsigned := func(r *http.Request) *http.Request { r.Header.Del("Authorization"); return r }
	signed := func(r *http.Request, service string) *http.Request {
		r.Header.Del("Authorization")
		wiretest.Sign(t, r, service)
		return r
	}
	slow := func(r *http.Request) *http.Request {
		r.Body = stalled{}
		return r
	}
	const limit = "the node is busy: the limit of the bodies that it holds, of "
	json := func() *http.Request {
		return request("POST", "/", `{"Name":"n"}`, "X-Amz-Target", "Shop_2026.Put", "Content-Type", jsonBody)
	}
	query := func() *http.Request {
		return request("POST", "/", "Action=Put&Version=2026-01-01&Name=n", "Content-Type", form)
	}
	rest := func() *http.Request { return request("POST", "/depot/b", `{"Thing":{"Name":"n"}}`) }
	for _, c := range []struct {
		name, want string
		r          *http.Request
	}{
		{"JSON", "429 ThrottlingException: " + limit + "those whose sender is known, is 11 bytes", json()},
		{"a query", "429 Sender Throttling: the node is busy: the limit", query()},
		{"a query of nobody", "429 Sender Throttling: the node is busy: the limit", unsigned(query())},
		{"REST", "429 TooManyRequestsException: " + limit, rest()},
		{"what is signed", "429 ThrottlingException: " + limit + "small ones, up to 64 KB, whose signature is not verified yet, is 1 bytes", signed(json(), "shop")},
		{"slow JSON", "408 RequestTimeoutException: the body of the request came too slowly", slow(json())},
		{"a slow query", "408 Sender RequestTimeout: the body of the request came too slowly", slow(query())},
		{"a slow query of nobody", "408 Sender RequestTimeout: the body of the request came too slowly", slow(unsigned(query()))},
		{"slow REST", "408 RequestTimeoutException: the body of the request came too slowly", slow(rest())},
		{"what is signed and slow", "408 RequestTimeoutException: the body of the request came too slowly", slow(signed(json(), "shop"))},
	} {
		bodies := full
		if strings.Contains(c.name, "slow") {
			bodies = access.NewBodies(64 << 20)
		}
		w := httptest.NewRecorder()
		bodies.Handler(h).ServeHTTP(w, c.r)
		if got := said(w); !strings.HasPrefix(got, c.want) || w.Code == 429 && w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s:\n got %s (%v)\nwant %s", c.name, got, w.Header(), c.want)
		}
		if bodies.Held() != 0 {
			t.Errorf("%s: %d bytes are held", c.name, bodies.Held())
		}
	}
	w := httptest.NewRecorder()
	x := &exchange{service: nobody, w: w, r: rest(), id: "id"}
	x.speak(RESTXML)
	x.codec.fail(x, x.describe(gust.ErrBusy))
	if got := said(w); !strings.HasPrefix(got, "503 Receiver SlowDown: the node is busy") {
		t.Errorf("REST-XML: %s", got)
	}
}

type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (stalled) Close() error             { return nil }
