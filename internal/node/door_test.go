package node_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// Every answer carries its request id, and the trace that came in goes on to
// the program, in each runtime.
func TestRequestIDsAndTraces(t *testing.T) {
	const root = "1-5759e988-bd862e3fe1be46a994272793"
	const traceparent = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
	h := newHouse(t)
	n := h.start()
	h.deploy(`
app: trace
functions:
  f: {runtime: provided, source: ./f}
  web: {runtime: http, source: ./f}
routes:
  GET /f: f
  "GET /web/{rest...}": web
`)
	for name, headers := range map[string][]string{
		"traceparent":     {"traceparent", traceparent},
		"X-Amzn-Trace-Id": {"X-Amzn-Trace-Id", "Root=" + root + ";Parent=53995c3f42cd8ad8;Sampled=1"},
		"none":            nil,
	} {
		for _, call := range []struct {
			to  string
			got reply
		}{{"f by HTTP", n.get("/f", headers...)}, {"web", n.get("/web/", headers...)}, {"f by the API", n.invoke("f", "{}", headers...)}} {
			said := call.got.said()
			id := call.got.header.Get("X-Amzn-Requestid")
			if call.got.status != http.StatusOK || len(id) != 36 || said.Request != id {
				t.Errorf("%s, %s: %d, the request is %q, and %q to the program", call.to, name, call.got.status, id, said.Request)
			}
			if !strings.HasPrefix(said.Trace, "Root=1-") || headers != nil && (!strings.HasPrefix(said.Trace, "Root="+root) || !strings.Contains(said.Trace, "Sampled=1")) {
				t.Errorf("%s, %s: the program's trace is %q", call.to, name, said.Trace)
			}
			if call.to == "web" {
				if got := said.Headers["traceparent"]; !strings.HasPrefix(got, "00-") || headers != nil && !strings.HasPrefix(got, "00-"+strings.ReplaceAll(root[2:], "-", "")) {
					t.Errorf("%s, %s: the program's traceparent is %q", call.to, name, got)
				}
			}
		}
	}
	for _, r := range []reply{n.get("/nowhere"), n.invoke("nobody", "{}"), n.invoke("f", "{")} {
		if r.status < 400 || len(r.header.Get("X-Amzn-Requestid")) != 36 {
			t.Errorf("%d %s has the request id %q", r.status, r.body, r.header.Get("X-Amzn-Requestid"))
		}
	}
	n.stop()
}

// notLetIn is what the AWS APIs say, by the code, to who has no credential.
var notLetIn = map[string]string{
	"MissingAuthenticationTokenException": `{"message":"Request is missing Authentication Token"}`,
	"UnrecognizedClientException":         `{"message":"The security token included in the request is invalid."}`,
	"IncompleteSignatureException":        `{"message":"the Authorization scheme is neither Bearer nor AWS4-HMAC-SHA256"}`,
}

// Without the key the API says nothing but that it is alive; with it, all it
// has.
func TestDoorOfTheAPI(t *testing.T) {
	h := newHouse(t)
	n := h.start()
	h.deploy("app: door\nfunctions:\n  f: {runtime: provided, source: ./f}\n")
	n.invoke("f", "{}")
	ask := func(method, path, authorization string) reply {
		req, err := http.NewRequest(method, "http://"+n.api+path, nil)
		if err == nil && authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		return n.do(req, err)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := ask("GET", path, ""); r.status != http.StatusOK {
			t.Errorf("%s answers %d %s", path, r.status, r.body)
		}
	}
	for _, path := range []string{
		"/", "/nowhere", "/v1/status", "/v1/apps", "/v1/logs", "/v1/functions", "/v1/environments", "/v1/version", "/v1/nothing",
		"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/2015-03-31/functions/", "/2015-03-31/functions/f",
		"/healthz/", "/readyz/x", "//healthz", "/v1/../healthz",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
			for _, authorization := range []string{"", "Bearer x.y", "Bearer " + n.key.Token() + "x", "Basic cm9vdDpyb290"} {
				r := ask(method, path, authorization)
				redirected := r.status == http.StatusOK && strings.HasSuffix(path, "/healthz")                      // by its clean path
				inWords := r.status == http.StatusForbidden && notLetIn[r.header.Get("X-Amzn-Errortype")] == r.body // of the AWS APIs
				if (r.status != http.StatusUnauthorized || r.body != "") && !redirected && !inWords {
					t.Errorf("%s %s with %q answers %d %q %v", method, path, authorization, r.status, r.body, r.err)
				}
			}
		}
	}
	for path, want := range map[string]string{
		"/v1/status": `"state":"ready"`, "/metrics": "gust_build_info", "/debug/pprof/": "goroutine", "/debug/pprof/cmdline": "up",
		"/2015-03-31/functions/f": `"FunctionName":"f"`,
	} {
		if r := ask("GET", path, "Bearer "+n.key.Token()); r.status != http.StatusOK || !strings.Contains(r.body, want) {
			t.Errorf("%s with the key answers %d, without %s: %.200s", path, r.status, want, r.body)
		}
	}
	// A signature is for one service. S3's covers paths by other rules, and is
	// for nothing here; nor is one for a service that the node does not have.
	for service, status := range map[string]int{"gust": http.StatusOK, "s3": http.StatusUnauthorized, "execute-api": http.StatusUnauthorized, "Gust": http.StatusUnauthorized} {
		for _, path := range []string{"/v1/status", "/metrics", "/debug/pprof/cmdline"} {
			req, err := http.NewRequest("GET", "http://"+n.api+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			wiretest.SignAs(t, req, service, n.key)
			if r := n.do(req, nil); r.status != status || status != http.StatusOK && !strings.Contains(r.body, `sign it for "gust"`) {
				t.Errorf("%s signed for %s answers %d %.200s", path, service, r.status, r.body)
			}
		}
	}
	n.stop()
}
