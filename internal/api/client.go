package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
	"github.com/gust-dev/gust/internal/observe"
)

// ErrNoNode: no node answers where one was looked for.
var ErrNoNode = errors.New("no node answers")

// Client asks a node. Its methods return an *Error for what the node refused,
// and one that is ErrNoNode when there is none.
type Client struct {
	// Endpoint is the node's API, such as http://127.0.0.1:4566.
	Endpoint string
	// Key is who asks: the root key, a user's, or a session's.
	Key *access.Key
	// UserAgent is how requests call their sender, for the audit log and for
	// conditions on aws:UserAgent; empty is as Go does.
	UserAgent string
	http      *http.Client
	// pause waits, unless ctx ends first.
	pause func(ctx context.Context, d time.Duration)
}

// NewClient makes a client for the node at endpoint: a URL, or host:port, which
// is http on this machine and https elsewhere, since the key goes along. With
// the fingerprint of its certificate the node is known by that alone; without,
// https needs a certificate that the system trusts.
func NewClient(endpoint string, key *access.Key, fingerprint string) (*Client, error) {
	bare := !strings.Contains(endpoint, "://")
	if bare {
		endpoint = "https://" + Reachable(endpoint)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is not where a node can be: want HOST:PORT, https://HOST, or http://HOST:PORT for a node without TLS", endpoint)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	if Loopback(u.Hostname()) {
		t.Proxy = nil
		if bare && fingerprint == "" {
			u.Scheme = "http"
		}
	}
	t.DisableCompression = true
	if fingerprint != "" {
		if u.Scheme == "http" {
			return nil, fmt.Errorf("a fingerprint is for https, and %s is without TLS: want https://%s", endpoint, u.Host)
		}
		if t.TLSClientConfig, err = trustFingerprint(fingerprint); err != nil {
			return nil, err
		}
	}
	return &Client{Endpoint: u.Scheme + "://" + u.Host, Key: key, http: &http.Client{Transport: t}, pause: pause}, nil
}

// Loopback tells whether a host, a name or an IP address, is reached from this
// machine alone.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Reachable turns an address that is listened on into one to call: 0.0.0.0:80
// into 127.0.0.1:80.
func Reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// Close gives back the client's idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Version says what binary the node is.
func (c *Client) Version(ctx context.Context) (*Build, error) {
	return ask[Build](ctx, c, "GET", "/v1/version", nil)
}

// Status says how the node is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return ask[Status](ctx, c, "GET", "/v1/status", nil)
}

// WhoAmI says whose key the client has.
func (c *Client) WhoAmI(ctx context.Context) (*Identity, error) {
	return ask[Identity](ctx, c, "GET", "/v1/whoami", nil)
}

// Apps lists what is deployed, and the catalog's revision.
func (c *Client) Apps(ctx context.Context) ([]App, uint64, error) {
	list, err := ask[struct {
		Revision uint64
		Apps     []App
	}](ctx, c, "GET", "/v1/apps", nil)
	if err != nil {
		return nil, 0, err
	}
	return list.Apps, list.Revision, nil
}

// Functions lists the functions of an app, or all if app is empty, by name.
func (c *Client) Functions(ctx context.Context, app string) ([]*gust.Function, error) {
	list, err := ask[struct{ Functions []*gust.Function }](ctx, c, "GET", "/v1/functions"+query("app", app), nil)
	if err != nil {
		return nil, err
	}
	return list.Functions, nil
}

// Environments lists the running environments of an app, of a function, or all.
func (c *Client) Environments(ctx context.Context, app, function string) ([]invoke.Environment, error) {
	list, err := ask[struct{ Environments []invoke.Environment }](ctx, c, "GET", "/v1/environments"+query("app", app, "function", function), nil)
	if err != nil {
		return nil, err
	}
	return list.Environments, nil
}

// Warm waits until a function has an environment that is ready, and says how it
// came up. A *gust.FunctionError says why it does not.
func (c *Client) Warm(ctx context.Context, function string) (*invoke.WarmUp, error) {
	up, err := ask[WarmUp](ctx, c, "POST", "/v1/functions/"+url.PathEscape(function)+"/warm", nil)
	if err != nil {
		return nil, err
	}
	if f := up.Failed; f != nil {
		return nil, &gust.FunctionError{Outcome: f.Outcome, Type: f.Type, Message: f.Message, Output: f.Output}
	}
	return up.WarmUp, nil
}

// HasArtifact reports whether the node has an artifact.
func (c *Client) HasArtifact(ctx context.Context, d gust.Digest) (bool, error) {
	resp, err := c.send(ctx, "HEAD", "/v1/artifacts/"+string(d), nil, nil)
	if errors.Is(err, gust.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, resp.Body.Close()
}

// PutArtifact sends an artifact of size bytes; when it returns nil, the node
// has it on disk.
func (c *Client) PutArtifact(ctx context.Context, d gust.Digest, body io.ReaderAt, size int64) error {
	whole := func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(body, 0, size)), nil }
	first, _ := whole() // which never fails
	resp, err := c.send(ctx, "PUT", "/v1/artifacts/"+string(d), first, func(r *http.Request) {
		r.ContentLength, r.GetBody = size, whole
		r.Header.Set("Content-Type", "application/zip")
	})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Plan says what an apply of app would change.
func (c *Client) Plan(ctx context.Context, app *gust.App, take []string) (*catalog.Plan, error) {
	return ask[catalog.Plan](ctx, c, "POST", "/v1/apps/"+url.PathEscape(app.Name)+"/plan", &ApplyRequest{App: app, Take: take})
}

// Apply makes the app as it is given, all or nothing, and says what it changed.
func (c *Client) Apply(ctx context.Context, req *ApplyRequest) (*catalog.Plan, error) {
	return ask[catalog.Plan](ctx, c, "PUT", "/v1/apps/"+url.PathEscape(req.App.Name), req)
}

// Remove removes an app and says what went with it.
func (c *Client) Remove(ctx context.Context, app string) (*catalog.Plan, error) {
	return ask[catalog.Plan](ctx, c, "DELETE", "/v1/apps/"+url.PathEscape(app), nil)
}

// Metrics are the node's figures in the Prometheus text form.
func (c *Client) Metrics(ctx context.Context) (io.ReadCloser, error) {
	resp, err := c.send(ctx, "GET", "/metrics", nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// LogQuery says which records are wanted; what is empty does not restrict.
type LogQuery struct {
	Function, App, RequestID string
	Since                    string // a time (RFC 3339), or how long ago ("5m")
	Follow                   bool
	Limit                    int
}

// Logs gives records, oldest first, and goes on for as long as ctx if they are
// followed. An error ends it.
func (c *Client) Logs(ctx context.Context, q LogQuery) iter.Seq2[*observe.Record, error] {
	pairs := []string{"function", q.Function, "app", q.App, "request", q.RequestID, "since", q.Since}
	if q.Follow {
		pairs = append(pairs, "follow", "true")
	}
	if q.Limit > 0 {
		pairs = append(pairs, "limit", strconv.Itoa(q.Limit))
	}
	return read[observe.Record](ctx, c, "/v1/logs"+query(pairs...), "the logs")
}

// Backup copies everything durable into w, as it is at one moment. After an
// error what w got is worth nothing.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	resp, err := c.send(ctx, "POST", "/v1/backup", nil, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return n, fmt.Errorf("the backup broke off after %d bytes: %w", n, err)
	}
	return n, nil
}

// Invocation is how an invocation ended.
type Invocation struct {
	RequestID string
	Payload   []byte
	// Failed says that the function did not answer as it should; the payload
	// then is Lambda's error document.
	Failed bool
	// LogTail is the end of what the invocation printed, if it was asked for.
	LogTail []byte
}

// Invoke runs a function on an event by the Lambda Invoke API and waits.
func (c *Client) Invoke(ctx context.Context, function string, event []byte, tail bool) (*Invocation, error) {
	resp, err := c.send(ctx, "POST", "/2015-03-31/functions/"+url.PathEscape(function)+"/invocations", bytes.NewReader(event), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		if tail {
			r.Header.Set("X-Amz-Log-Type", "Tail")
		}
	})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	inv := &Invocation{
		RequestID: resp.Header.Get("X-Amzn-Requestid"),
		Failed:    resp.Header.Get("X-Amz-Function-Error") != "",
	}
	if inv.Payload, err = io.ReadAll(resp.Body); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if inv.LogTail, err = base64.StdEncoding.DecodeString(resp.Header.Get("X-Amz-Log-Result")); err != nil {
		return nil, fmt.Errorf("reading the end of the log: %w", err)
	}
	return inv, nil
}

// Request sends an HTTP request to a function of the http runtime by the port
// for users' traffic; one of the function's routes has to match. Whatever the
// function answers is no error.
func (c *Client) Request(ctx context.Context, function, method, path string, body []byte) (*http.Response, error) {
	functions, err := c.Functions(ctx, "")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(functions, func(f *gust.Function) bool { return f.Name == function })
	switch {
	case i < 0:
		return nil, fmt.Errorf("function %q: %w", function, gust.ErrNotFound)
	case functions[i].Runtime != gust.RuntimeHTTP:
		return nil, fmt.Errorf("function %q takes events, not HTTP requests: its runtime is %s", function, functions[i].Runtime)
	}
	status, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+Reachable(status.HTTP)+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", function, unwrapURL(err))
	}
	return resp, nil
}

// ask sends in as JSON, if there is any, and reads the answer as a T.
func ask[T any](ctx context.Context, c *Client, method, path string, in any) (*T, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	resp, err := c.send(ctx, method, path, body, func(r *http.Request) {
		if in != nil {
			r.Header.Set("Content-Type", "application/json")
		}
	})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := new(T)
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return nil, fmt.Errorf("reading what %s answered to %s %s: %w", c.Endpoint, method, path, err)
	}
	return out, nil
}

// maxPauses bounds how often one request is sent again. The node lets a user make
// so many calls a second, which who makes one after the other keeps to after one
// pause; several at the same time take each other's turn.
const maxPauses = 10

// pause is Client.pause.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// send returns answers of 2xx; the others become errors. What the node has no
// room for now it sends again when the node says.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader, prepare func(*http.Request)) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Endpoint+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Key.Token())
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	if prepare != nil {
		prepare(req)
	}
	for pauses := 0; ; pauses++ {
		resp, err := c.once(req)
		var e *Error
		if err == nil || pauses == maxPauses || !errors.As(err, &e) || e.after == 0 || req.Body != nil && req.GetBody == nil {
			return resp, err
		}
		c.pause(ctx, e.after)
		if req = req.Clone(ctx); req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func (c *Client) once(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx := req.Context(); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			return nil, fmt.Errorf("%w at %s: %w", ErrNoNode, c.Endpoint, dial.Err)
		}
		return nil, c.explainTLS(unwrapURL(err))
	}
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

// unwrapURL drops the method and the URL that net/http puts before an error.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// readError makes an *Error of an answer that is none of 2xx: of this API, or
// of the Lambda API.
func readError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, RequestID: resp.Header.Get(HeaderRequestID)}
	data, err := io.ReadAll(io.LimitReader(resp.Body, gust.MB))
	if err != nil {
		return fmt.Errorf("the node answered %s and broke off: %w", resp.Status, err)
	}
	var own struct {
		Error *Error `json:"error"`
	}
	var lambda struct {
		Message string `json:"Message"` // or "message": names match without case
		Reason  string `json:"Reason"`
	}
	switch {
	case json.Unmarshal(data, &own) == nil && own.Error != nil && own.Error.Message != "":
		own.Error.Status, own.Error.after = e.Status, busyFor(own.Error.Code, resp)
		return own.Error
	case json.Unmarshal(data, &lambda) == nil && lambda.Message != "":
		e.Code, _, _ = strings.Cut(resp.Header.Get("X-Amzn-Errortype"), ":")
		e.Message = lambda.Message
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		e.Code, e.Message = codeUnauthorized, fmt.Sprintf("the node does not accept the key %s", keyID(resp.Request))
	case resp.StatusCode == http.StatusNotFound:
		e.Code, e.Message = "not_found", "not found"
	case bytes.Contains(data, []byte("HTTP request to an HTTPS server")):
		e.Code, e.Message = "unknown", fmt.Sprintf("the node speaks TLS: ask https://%s, with the fingerprint that `gust up` printed (--fingerprint) unless the system trusts its certificate", resp.Request.URL.Host)
	default:
		e.Code, e.Message = "unknown", "the node answered "+resp.Status
	}
	e.after = busyFor(e.Code, resp)
	return e
}

// busyFor is when a request may be sent again that was not carried out because
// the node is busy, or the caller makes too many, or 0. It is none of a function
// that is throttled: whoever invokes wants to know.
func busyFor(code string, resp *http.Response) time.Duration {
	if code != "busy" && code != "ThrottlingException" {
		return 0
	}
	seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 8)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// keyID is the part of the request's credential that is no secret.
func keyID(r *http.Request) string {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, _, _ := strings.Cut(token, ".")
	return id
}

// query makes "?name=value&..." of pairs, without those that have no value.
func query(pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + strings.ReplaceAll(values.Encode(), "+", "%20") // a plus sign is one
}
