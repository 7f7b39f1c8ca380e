package observe

import (
	"io"
	"net/http/httptest"
	"testing"
)

// scrape is what Prometheus gets.
func scrape(t testing.TB, r *Recorder) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Errorf("scraping: %d, %v: %s", w.Code, err, body)
	}
	return string(body)
}
