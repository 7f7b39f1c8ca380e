package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
)

// Nothing stands behind a stream that was answered whole, though its end cannot
// be recorded.
func TestAStreamWhoseEndIsNotRecorded(t *testing.T) {
	f := newFixture(t)
	s := &server{Options: f.options}
	s.Logger = slog.New(slog.DiscardHandler)
	server := httptest.NewServer(guard.New(access.New(f.keys, access.Options{}), f.keys, f.audit, nil).Require(
		func(http.ResponseWriter, *http.Request, error) {},
		s.endpoint(&route{level: guard.Write, handle: func(_ *server, q *request) (answer, error) {
			q.end = func(error, ...guard.Param) error { return gust.ErrNoSpace }
			return answer{stream: func(w http.ResponseWriter) error {
				_, err := io.WriteString(w, "all of it")
				return err
			}}, nil
		}})))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.keys.key("root").Token())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "all of it" {
		t.Errorf("the answer is %q, %v", body, err)
	}
}
