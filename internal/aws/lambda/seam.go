package lambda

import (
	"context"
	"net/http"

	gust "github.com/gust-dev/gust"
)

// snapshot is what is declared at one moment.
type snapshot struct {
	Revision  uint64
	Functions map[string]*gust.Function
	Routes    []gust.Route
}

type invokeRequest struct {
	Function                       string
	Qualifier                      string
	Payload                        []byte
	Source                         string
	RequestID                      string
	TraceID                        string
	ClientContext, CognitoIdentity string
	Tail                           bool
}

type invokeResponse struct {
	RequestID string
	Version   uint64
	Result    *gust.Result
	Error     *gust.FunctionError
	LogTail   []byte
}

// Catalog tells what is declared.
type Catalog interface{ Snapshot() *snapshot }

// Invoker runs functions.
type Invoker interface {
	Invoke(context.Context, *invokeRequest) (*invokeResponse, error)
	InvokeAsync(context.Context, *invokeRequest) (string, error)
}

func traceID(h http.Header) string { return h.Get("X-Amzn-Trace-Id") }
