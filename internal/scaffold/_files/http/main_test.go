package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

func check(t *testing.T, url string) {
	t.Helper()
	resp, err := http.Get(url + "/{{name}}/Ada")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if want := `{"message":"Hello, Ada!"}` + "\n"; err != nil || resp.StatusCode != 200 || string(body) != want {
		t.Errorf("it answered %s: %s (%v), want %s", resp.Status, body, err, want)
	}
}

func TestRoutes(t *testing.T) {
	server := httptest.NewServer(routes())
	defer server.Close()
	check(t, server.URL)
}

// The whole app, on the node that `gust test` starts.
func TestApp(t *testing.T) {
	url := os.Getenv("GUST_TEST_URL")
	if url == "" {
		t.Skip("run it by gust test")
	}
	check(t, url)
}
