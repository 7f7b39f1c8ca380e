package lambda

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/observe"
)

// bodyTimeout is how long the whole body of a request may take.
const bodyTimeout = time.Minute

// Types of invocations.
const (
	requestResponse = "RequestResponse"
	eventType       = "Event"
	dryRun          = "DryRun"
)

// invocation is what Invoke and InvokeWithResponseStream have in common.
type invocation struct {
	kind     string
	function *gust.Function
	request  invoke.Request
}

// prepare reads and checks everything about an invocation. kinds are the types
// of invocations that there are.
func (s *server) prepare(c *call, label string, kinds ...string) (*invocation, error) {
	f, n, err := s.function(c, label)
	if err != nil {
		return nil, err
	}
	h := c.r.Header
	in := &invocation{function: f, request: invoke.Request{
		Function: f.Name, Qualifier: n.qualifier, Source: "invoke", RequestID: c.id,
	}}
	if in.kind, err = oneOf(h, "X-Amz-Invocation-Type", kinds...); err != nil {
		return nil, err
	}
	logs, err := oneOf(h, "X-Amz-Log-Type", "None", "Tail")
	if err != nil {
		return nil, err
	}
	in.request.Tail = logs == "Tail"
	for name, what := range map[string]string{"X-Amz-Tenant-Id": "tenants", "X-Amz-Durable-Execution-Name": "durable executions"} {
		if h.Get(name) != "" {
			return nil, invalid("%s is there, and %s are not part of this version of Gust: leave it out", name, what)
		}
	}
	if f.Runtime == gust.RuntimeHTTP {
		return nil, invalid("the function %s has the runtime http, which answers HTTP requests and has no events: call it through one of its routes%s",
			f.Name, s.routesOf(f.Name))
	}
	// Lambda hands the client context to synchronous invocations only.
	if in.request.ClientContext, err = clientContext(h.Get("X-Amz-Client-Context")); err != nil {
		return nil, err
	}
	limit, limitName := int64(gust.MaxSyncPayload), "6 MB"
	if in.kind == eventType {
		in.request.ClientContext, in.request.Source = "", "async"
		limit, limitName = gust.MaxAsyncPayload, "1 MB"
	}
	in.request.TraceID, _ = observe.TraceFrom(h)
	in.request.Payload, err = readPayload(c, limit, limitName)
	return in, err
}

// oneOf is the value of a header that has to be one of values, the first of
// which it is when it is not there.
func oneOf(h http.Header, header string, values ...string) (string, error) {
	v := h.Get(header)
	if v == "" {
		return values[0], nil
	}
	for _, want := range values {
		if v == want {
			return v, nil
		}
	}
	return "", invalid("%s is %s: it may be one of %v", header, quoted(v), values)
}

// routesOf names the routes to a function, for people.
func (s *server) routesOf(function string) string {
	text := ""
	for _, r := range s.Catalog.Snapshot().Routes {
		if r.Function != function {
			continue
		}
		if len(text) > 200 {
			return text + ", ..."
		}
		if text == "" {
			text = ": "
		} else {
			text += ", "
		}
		text += r.Key()
	}
	return text
}

// clientContext decodes the client context, a JSON object in base64.
func clientContext(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	if len(v) > gust.MaxClientContext {
		return "", invalid("X-Amz-Client-Context has %d bytes, over the limit of %d", len(v), gust.MaxClientContext)
	}
	doc, err := base64.StdEncoding.DecodeString(v)
	if err != nil || !json.Valid(doc) || bytes.TrimLeft(doc, " \t\r\n")[0] != '{' {
		return "", &apiError{code: "InvalidRequestContentException", status: http.StatusBadRequest,
			message: "Client context must be a valid Base64-encoded JSON object."}
	}
	// It is handed on in a header, where no line breaks may be.
	var compact bytes.Buffer
	if err := json.Compact(&compact, doc); err != nil {
		return "", err
	}
	return compact.String(), nil
}

// readPayload reads the event, which has to be JSON; none is the empty object,
// as in Lambda.
func readPayload(c *call, limit int64, limitName string) ([]byte, error) {
	body, ok := access.Body(c.r)
	if !ok {
		var err error
		if body, err = readBody(c, limit); err != nil {
			return nil, err
		}
	}
	if int64(len(body)) > limit || c.r.ContentLength > limit {
		return nil, &apiError{code: "RequestTooLargeException", status: http.StatusRequestEntityTooLarge,
			message: fmt.Sprintf("Request must be smaller than %d bytes (%s) for this operation and invocation type", limit, limitName)}
	}
	if len(body) == 0 {
		return []byte("{}"), nil
	}
	if !json.Valid(body) {
		var ignored json.RawMessage
		return nil, &apiError{code: "InvalidRequestContentException", status: http.StatusBadRequest,
			message: fmt.Sprintf("Could not parse request body into json: %v", json.Unmarshal(body, &ignored))}
	}
	return body, nil
}

// readBody reads the body, or a byte more than the limit of it.
func readBody(c *call, limit int64) ([]byte, error) {
	r := c.r
	if r.Body == nil || r.ContentLength > limit {
		return nil, nil
	}
	// The deadline is taken back after the body, not at the end: net/http
	// watches the connection for the client's leaving from then on.
	control := http.NewResponseController(c.w)
	if err := control.SetReadDeadline(time.Now().Add(bodyTimeout)); err == nil {
		defer control.SetReadDeadline(time.Time{}) //nolint:errcheck // what failed is the connection
	}
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 {
		buf.Grow(int(min(n, 64*gust.KB)) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &apiError{code: "RequestTimeoutException", status: http.StatusRequestTimeout,
			message: fmt.Sprintf("the body of the request did not come within %v", bodyTimeout)}
	case err != nil:
		return nil, &apiError{code: "InvalidRequestContentException", status: http.StatusBadRequest,
			message: "the body of the request broke off: " + err.Error()}
	}
	return buf.Bytes(), nil
}

// invoke is the operation Invoke.
func (s *server) invoke(c *call, labels []string) error {
	w := c.w
	in, err := s.prepare(c, labels[0], requestResponse, eventType, dryRun)
	if err != nil {
		return err
	}
	switch in.kind {
	case dryRun:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case eventType:
		if _, err := s.Invoker.InvokeAsync(c.r.Context(), &in.request); err != nil {
			return err
		}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	resp, err := s.Invoker.Invoke(c.r.Context(), &in.request)
	if err != nil {
		return err
	}
	payload, fe := wholeAnswer(resp)
	if fe != nil {
		if fe.Outcome == gust.OutcomeSandbox {
			return fmt.Errorf("the function %s could not be run: %w", in.function.Name, fe)
		}
		payload = fe.Document()
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	describeRun(w.Header(), in, resp)
	if in.request.Tail {
		w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(resp.LogTail))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(payload)))
	w.WriteHeader(http.StatusOK)
	w.Write(payload) //nolint:errcheck // whoever asked has gone
	return nil
}

// describeRun says which version ran, and in which trace.
func describeRun(h http.Header, in *invocation, resp *invoke.Response) {
	version := resp.Version
	if version == 0 { // it did not come to run
		version = in.function.Version
	}
	h["X-Amz-Executed-Version"] = []string{strconv.FormatUint(version, 10)}
	if in.request.TraceID != "" {
		h["X-Amzn-Trace-Id"] = []string{in.request.TraceID}
	}
}

// wholeAnswer is a function's answer in one piece, read to its end if the
// function streams, or why there is none.
func wholeAnswer(resp *invoke.Response) ([]byte, *gust.FunctionError) {
	switch {
	case resp.Error != nil:
		return nil, resp.Error
	case resp.Result.Stream == nil:
		return resp.Result.Payload, nil
	}
	defer resp.Result.Stream.Close() //nolint:errcheck // it is read to its end, or given up
	var buf bytes.Buffer
	_, err := buf.ReadFrom(io.LimitReader(resp.Result.Stream, gust.MaxSyncPayload+1))
	if err != nil {
		return nil, functionError(err)
	}
	if buf.Len() > gust.MaxSyncPayload {
		return nil, &gust.FunctionError{Outcome: gust.OutcomeSize, Type: "Function.ResponseSizeTooLarge",
			Message: fmt.Sprintf("the streamed answer is over the limit of 6 MB (%d bytes) of Invoke: InvokeWithResponseStream takes up to 200 MB", gust.MaxSyncPayload)}
	}
	return buf.Bytes(), nil
}

// functionError is how a stream ended that broke off.
func functionError(err error) *gust.FunctionError {
	if fe := (*gust.FunctionError)(nil); errors.As(err, &fe) {
		return fe
	}
	return &gust.FunctionError{Outcome: gust.OutcomeProtocol, Type: "Runtime.StreamError", Message: err.Error()}
}
