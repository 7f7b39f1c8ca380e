package lambda

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

var update = flag.Bool("update", false, "write docs/compatibility.md anew")

// TestOperations: each operation is found by its method and path, and what is
// not carried out is refused by its name and says what to do.
func TestOperations(t *testing.T) {
	names := map[string]bool{}
	for _, op := range operations {
		if names[op.name] {
			t.Errorf("%s is there twice", op.name)
		}
		names[op.name] = true
		if op.note == "" {
			t.Errorf("%s does not say how it is carried out, or what to do instead", op.name)
		}
		path := op.path
		for strings.Contains(path, "{") {
			i, j := strings.Index(path, "{"), strings.Index(path, "}")
			path = path[:i] + "arn%3Aaws%3Ax%2Fy" + path[j+1:]
		}
		found, labels, err := lookup(request(op.method, path, ""))
		if op.run != nil {
			if err != nil || found.name != op.name || len(labels) != strings.Count(op.path, "{") || len(labels) > 0 && labels[0] != "arn:aws:x/y" {
				t.Errorf("%s %s: %v %q %v", op.method, path, found, labels, err)
			}
			continue
		}
		w := serve(t, nil, request(op.method, path, ""))
		want := fmt.Sprintf("the Lambda operation %s is not carried out by Gust: %s", op.name, op.note)
		if w.Code != 501 || w.Header().Get("x-amzn-ErrorType") != "UnknownOperationException" || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s %s: %d %s, want %s", op.method, path, w.Code, w.Body, want)
		}
	}
}

// TestCompatibilityPage: the page says what the table says.
func TestCompatibilityPage(t *testing.T) {
	const file = "../../../docs/compatibility.md"
	want := page()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/compatibility.md is not what the table of operations says: run go test ./internal/aws/lambda -run TestCompatibilityPage -update")
	}
}

func page() []byte {
	var b bytes.Buffer
	b.WriteString(`# Compatibility with AWS

<!-- Generated from internal/aws/lambda/operations.go by its test with -update. -->

What is accepted is done; what is not carried out is refused by name, with what to do instead.

## Lambda

The API port speaks the Lambda API (REST-JSON, 2015-03-31) to requests that are signed (Signature V4) or carry the root key as a bearer
token. An operation that is not carried out answers 501 ` + "`UnknownOperationException`" + ` with the text below; one that the Lambda API does not have
answers 404 ` + "`UnknownOperationException`" + `.

### Carried out

| operation | how |
|---|---|
`)
	sorted := slices.Clone(operations)
	slices.SortFunc(sorted, func(a, b operation) int { return strings.Compare(a.name, b.name) })
	for _, op := range sorted {
		if op.run == nil {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s |\n", op.name, op.note)
	}
	b.WriteString("\n### Refused\n\n| operation | instead |\n|---|---|\n")
	for _, op := range sorted {
		if op.run == nil {
			fmt.Fprintf(&b, "| %s | %s |\n", op.name, op.note)
		}
	}
	b.WriteString(`
### Names

A function is named by its name, by ` + "`ACCOUNT:function:NAME`" + ` or by its ARN, each with a qualifier at its end or in the parameter Qualifier. There
are two qualifiers: ` + "`$LATEST`" + ` and the number of the newest version, which are the same. Any other is a ResourceNotFoundException, as is an
account or region that is not the node's.

### Errors

| what happened | error | status |
|---|---|---|
`)
	for _, d := range domain {
		if d.status == 499 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %d |\n", d.err, d.code, d.status)
	}
	for _, r := range slices.Sorted(func(yield func(string) bool) {
		for r := range throttled {
			if !yield(string(r)) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "| throttled by the %s limit | TooManyRequestsException, Reason %s | 429 |\n", r, throttled[gust.ThrottleReason(r)])
	}
	b.WriteString(`| the event is not JSON, or the client context is not a JSON object in base64 | InvalidRequestContentException | 400 |
| the body did not come within a minute | RequestTimeoutException | 408 |
| anything else that is the node's fault | ServiceException | 500 |

A function that fails is no error of the API: status 200, X-Amz-Function-Error ` + "`Unhandled`" + `, and the error's document as the payload.

### Differences

- X-Amz-Executed-Version and Version are the number of the version that ran, also where ` + "`$LATEST`" + ` was asked for.
- Runtime is Gust's own word: go, node, python, provided or http. Handler is what the manifest says, and bootstrap where it says none.
- X-Amz-Function-Error is always ` + "`Unhandled`" + `, as it is in Lambda for all runtimes of today.
- Members that have no answer here (CodeSize, Role, RevisionId, Code.Location, and what belongs to features that Gust does not have) are left
  out.
- A function of the runtime http has no events: Invoke refuses it and names its routes.

## Programs

What ` + "`make conformance`" + ` deploys and calls, with the versions that it pins. None of it knows of Gust.

| program | version | runtime | where |
|---|---|---|---|
| aws-lambda-go | 1.55.1 | go | conformance/testdata/golang |
| lambda_runtime (Rust) | 1.5.0 | provided | conformance/testdata/rust |
| aws-lambda-java-runtime-interface-client, -core, -events | 2.10.1, 1.4.0, 3.16.1, on Java 17 | provided | examples/java |
| awslambdaric | 4.2.2 | provided with the interpreter python; provided with a Python in the artifact; its example as python | conformance/testdata/python |
| Powertools for AWS Lambda (TypeScript): logger, metrics, tracer, event handler; middy | 2.35.0; 6.4.5 | node | conformance/testdata/node/powertools |
| Powertools for AWS Lambda (Python): logger, metrics, tracer, event handler, validation, batch | 3.37.0 | python | conformance/testdata/python/powertools |
| AWS SDK for JavaScript: S3, DynamoDB and its documents, bundled | 3.1169.0 | node | conformance/testdata/node/sdk |
| sharp (native) | 0.35.5 | node | conformance/testdata/node/sharp |
| numpy (native) | 2.4.6 | python | conformance/testdata/python/numpy |
| express | 5.3.0 | http with the interpreter node | conformance/testdata/node/express |
| Fastify | 5.12.8 | http with the interpreter node | conformance/testdata/node/fastify |
| Hono, behind its adapter for Lambda, streaming | 4.9.0 | node | conformance/testdata/node/hono |
| FastAPI, on uvicorn, with WebSockets | 0.165.0, 0.54.0 | http with the interpreter python | conformance/testdata/python/fastapi |
| Flask, on waitress | 3.1.3, 3.0.2 | http with the interpreter python | conformance/testdata/python/flask |
| Starlette, behind Mangum | 1.10.0, 0.22.0 | python | conformance/testdata/python/mangum |

- Tracing has no daemon that takes segments: Powertools' tracers run, find the trace of the invocation, and what they send is lost.
- A function has no credentials in this version of Gust: an SDK's call ends in its own error for that (CredentialsProviderError in JavaScript).
- Other languages: docs/OTHER-RUNTIMES.md.
`)
	return b.Bytes()
}
