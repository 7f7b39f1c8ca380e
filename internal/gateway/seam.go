package gateway

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

type Catalog interface{ Snapshot() *snapshot }

// Invoker runs functions.
type Invoker interface {
	Invoke(context.Context, *invokeRequest) (*invokeResponse, error)
	ServeHTTP(http.ResponseWriter, *http.Request, *invokeRequest) error
}
