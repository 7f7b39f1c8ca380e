package main

import (
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

func TestHandler(t *testing.T) {
	t.Setenv("GREETING", "Hi")
	got, err := handler(t.Context(), events.APIGatewayV2HTTPRequest{PathParameters: map[string]string{"who": "Ada"}})
	if err != nil || got.Message != "Hi, Ada!" {
		t.Errorf("it answered %+v, %v", got, err)
	}
}

// The whole app, on the node that `gust test` starts.
func TestApp(t *testing.T) {
	url := os.Getenv("GUST_TEST_URL")
	if url == "" {
		t.Skip("run it by gust test")
	}
	resp, err := http.Get(url + "/{{name}}/Ada")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if want := `{"message":"Hello, Ada!"}`; err != nil || resp.StatusCode != 200 || string(body) != want {
		t.Errorf("it answered %s: %s (%v), want %s", resp.Status, body, err, want)
	}
}
