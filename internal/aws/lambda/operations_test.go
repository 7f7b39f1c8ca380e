package lambda

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOperations: each operation is found by its method and path, and what is
// not carried out is refused by its name and says what to do.
func TestOperations(t *testing.T) {
	notes := map[string]string{}
	for _, op := range refused {
		notes[op.Name] = op.Note
	}
	h := handler(t, Options{Catalog: shop()})
	for _, b := range model.Bindings {
		note, ok := notes[b.Name]
		if !ok {
			continue
		}
		path := b.Path
		for strings.Contains(path, "{") {
			i, j := strings.Index(path, "{"), strings.Index(path, "}")
			path = path[:i] + "arn%3Aaws%3Ax%2Fy" + path[j+1:]
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(b.Method, path, ""))
		want := fmt.Sprintf("the AWS Lambda operation %s is not carried out by Gust: %s", b.Name, note)
		if w.Code != 501 || w.Header().Get("x-amzn-ErrorType") != "UnknownOperationException" || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s %s: %d %s, want %s", b.Method, path, w.Code, w.Body, want)
		}
	}
}
