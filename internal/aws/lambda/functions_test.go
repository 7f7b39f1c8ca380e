package lambda

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/catalog"
	"github.com/gust-dev/gust/internal/invoke"
)

func TestGetFunction(t *testing.T) {
	arch := "arm64"
	if runtime.GOARCH == "amd64" {
		arch = "x86_64"
	}
	hello := `{"FunctionName":"hello","FunctionArn":"arn:aws:lambda:eu-central-1:123456789012:function:hello","Runtime":"go","Role":"arn:aws:iam::123456789012:role/gust/fn.hello","Handler":"bootstrap",` +
		`"Description":"greets","Timeout":3,"MemorySize":256,"EphemeralStorage":{"Size":512},"Environment":{"Variables":{"A":"1"}},` +
		`"CodeSha256":"CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo=","Version":"7","LastModified":"2026-11-21T09:00:00.005+0000",` +
		`"State":"Active","LastUpdateStatus":"Successful","PackageType":"Zip","Architectures":["` + arch + `"]}`
	thumbs := `{"FunctionName":"thumbs","FunctionArn":"arn:aws:lambda:eu-central-1:123456789012:function:thumbs","Runtime":"node","Role":"arn:aws:iam::123456789012:role/gust/fn.thumbs","Handler":"src/index.handler",` +
		`"Description":"","Timeout":1,"MemorySize":128,"EphemeralStorage":{"Size":512},"CodeSha256":"","Version":"1","LastModified":"0001-01-01T00:00:00.000+0000",` +
		`"State":"Active","LastUpdateStatus":"Successful","PackageType":"Zip","Architectures":["` + arch + `"]}`
	for target, want := range map[string]string{
		"/2015-03-31/functions/thumbs/configuration":            thumbs,
		"/2015-03-31/functions/hello":                           `{"Configuration":` + hello + `,"Concurrency":{"ReservedConcurrentExecutions":5}}`,
		"/2015-03-31/functions/hello/configuration":             hello,
		"/2015-03-31/functions/hello/configuration?Qualifier=7": strings.Replace(hello, "function:hello", "function:hello:7", 1),
		"/2019-09-30/functions/hello/concurrency":               `{"ReservedConcurrentExecutions":5}`,
		"/2019-09-30/functions/web/concurrency":                 `{}`,
		"/2015-03-31/functions/none":                            `{"Type":"User","Message":"Function not found: arn:aws:lambda:eu-central-1:123456789012:function:none"}`,
	} {
		if w := serve(t, nil, request("GET", target, "")); !same(w.Body.String(), want) {
			t.Errorf("%s:\n got %s\nwant %s", target, w.Body, want)
		}
	}
}

func TestListFunctions(t *testing.T) {
	s := &catalog.Snapshot{Functions: map[string]*gust.Function{}}
	for i := range 120 {
		name := fmt.Sprintf("f%03d", i)
		s.Functions[name] = &gust.Function{Name: name, Version: uint64(i)}
	}
	h := handler(t, Options{Catalog: declared{s}})
	list := func(query string) (names []string, marker, arn string, status int) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("GET", "/2015-03-31/functions/?"+query, ""))
		var doc struct {
			Functions  []struct{ FunctionName, FunctionArn string }
			NextMarker string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		for _, f := range doc.Functions {
			names = append(names, f.FunctionName)
			arn = f.FunctionArn
		}
		return names, doc.NextMarker, arn, w.Code
	}
	var all []string
	pages, marker := 0, ""
	for {
		names, next, _, status := list("Marker=" + marker)
		if status != 200 {
			t.Fatal(status)
		}
		all = append(all, names...)
		pages++
		if marker = next; marker == "" {
			break
		}
	}
	if len(all) != 120 || pages != 3 || all[0] != "f000" || all[119] != "f119" {
		t.Error(len(all), pages)
	}
	// A marker whose function has been removed meanwhile still tells where to go on.
	if names, _, _, _ := list("Marker=f0055&MaxItems=2"); strings.Join(names, " ") != "f006 f007" {
		t.Error(names)
	}
	if names, next, arn, _ := list("MaxItems=1&FunctionVersion=ALL&Marker=f118"); len(names) != 1 || next != "" || arn != "arn:aws:lambda:us-east-1:000000000000:function:f119:119" {
		t.Error(names, next, arn)
	}
	for _, query := range []string{"MaxItems=0", "MaxItems=x", "MaxItems=10001", "FunctionVersion=SOME", "MasterRegion=ALL", "%zz"} {
		if _, _, _, status := list(query); status != 400 {
			t.Errorf("%s: %d", query, status)
		}
	}
}

var (
	_ Catalog = (*catalog.Catalog)(nil)
	_ Invoker = (*invoke.Invoker)(nil)
)
