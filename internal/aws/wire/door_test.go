package wire

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// fault is what an answer tells of an error: its status, code and text.
func said(w *httptest.ResponseRecorder) string {
	body := w.Body.String()
	between := func(a, b string) string {
		_, after, _ := strings.Cut(body, a)
		text, _, _ := strings.Cut(after, b)
		return text
	}
	if strings.HasPrefix(body, "<") {
		return fmt.Sprintf("%d %s %s: %s", w.Code, between("<Type>", "<"), between("<Code>", "<"), between("<Message>", "<"))
	}
	text := between(`essage":"`, `","`)
	return fmt.Sprintf("%d %s: %s", w.Code, w.Header().Get("X-Amzn-Errortype"), strings.TrimSuffix(text, `"}`))
}

const jsonBody = "application/x-amz-json-1.0"

// TestTellingApart: which request is for whom, as AWS tells it, and what it is
// told whose request is for nobody.
func TestTellingApart(t *testing.T) {
	h, _ := handler(t)
	ok := func(r *http.Request) *http.Request { return r }
	by := func(service string) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request {
			r.Header.Del("Authorization")
			wiretest.Sign(t, r, service)
			return r
		}
	}
	at := func(host string) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request { r.Host = host; return r }
	}
	for _, c := range []struct {
		name string
		how  func(*http.Request) *http.Request
		r    *http.Request
		want string
	}{
		{"a target", ok, request("POST", "/", `{"Name":"n"}`, "X-Amz-Target", "Shop_2026.Put", "Content-Type", jsonBody), "200 : "},
		{"a target, signed", by("shop"), request("POST", "/", `{"Name":"n"}`, "X-Amz-Target", "Shop_2026.Put", "Content-Type", jsonBody), "200 : "},
		{"a target of JSON 1.1", ok, request("POST", "/", `{"Name":"n"}`, "X-Amz-Target", "Shop_2026.Put", "Content-Type", "application/x-amz-json-1.1"), "200 : "},
		{"a query", ok, request("POST", "/", "Action=Put&Version=2026-01-01&Name=n", "Content-Type", form), "200  : "},
		{"a query, signed", by("shop"), request("POST", "/", "Action=Put&Version=2026-01-01&Name=n", "Content-Type", form), "200  : "},
		{"a query in a URL", ok, request("GET", "/?Action=Put&Version=2026-01-01&Name=n", ""), "200  : "},
		{"a query at a host", at("shop.localhost:4567"), request("POST", "/", "Action=Put&Version=2026-01-01&Name=n", "Content-Type", form), "200  : "},
		{"a path", ok, request("POST", "/depot/b", `{"Thing":{"Name":"n"}}`), "201 : "},
		{"a path, signed", by("depot"), request("POST", "/depot/b", `{"Thing":{"Name":"n"}}`), "201 : "},
		{"a path with a form's type, as curl has it", ok, request("POST", "/depot/b", `{"Thing":{"Name":"n"}}`, "Content-Type", form), "201 : "},

		{"another service's target", by("depot"), request("POST", "/", `{"Name":"n"}`, "X-Amz-Target", "Shop_2026.Put", "Content-Type", jsonBody),
			`400 UnknownOperationException: the request is signed for the service \"depot\", and X-Amz-Target asks for \"Shop_2026.Put\"`},
		{"a service that is none", by("sqs"), request("POST", "/", "Action=SendMessage&Version=2012-11-05", "Content-Type", form), "400 Sender InvalidAction: Gust has no service sqs in this version, and so no operation SendMessage of it: those that it has are depot, shop"},
		{"a service that is none, in JSON", by("sqs"), request("POST", "/", `{}`, "X-Amz-Target", "AmazonSQS.SendMessage", "Content-Type", jsonBody),
			"400 UnknownOperationException: Gust has no service sqs in this version, and so no operation SendMessage of it: those that it has are depot, shop"},
		{"a target of a service that is none", ok, request("POST", "/", `{}`, "X-Amz-Target", "DynamoDB_20120810.ListTables", "Content-Type", jsonBody),
			"400 UnknownOperationException: Gust has no service DynamoDB_20120810 in this version, and so no operation ListTables of it: "},
		{"another service's target, which is none", by("shop"), request("POST", "/", `{}`, "X-Amz-Target", "DynamoDB_20120810.ListTables", "Content-Type", jsonBody),
			"400 UnknownOperationException: Gust has no service DynamoDB_20120810 in this version, and so no operation ListTables of it: "},
		{"a service that is none, without an action", by("sqs"), request("POST", "/", "Version=2012-11-05", "Content-Type", form), "400 Sender MissingAction: "},
		{"a service that is none, in REST", by("apigateway"), request("GET", "/restapis", ""),
			"404 UnknownOperationException: Gust has no service apigateway in this version, and so no operation GET /restapis of it: "},
		{"S3", by("s3"), request("GET", "/bucket", ""), "501  NotImplemented: Gust has no service s3 in this version, and so no operation GET /bucket of it: those that it has are depot, shop"},
		{"a form to S3", by("s3"), request("POST", "/bucket", "Action=x", "Content-Type", form), "501  NotImplemented: Gust has no service s3 in this version, and so no operation POST /bucket of it: "},
		{"a service in REST-XML", by("route53"), request("GET", "/2013-04-01/hostedzone", ""), "501 Receiver NotImplemented: Gust has no service route53 in this version, and so no operation GET /2013-04-01/hostedzone of it: "},
		{"another service's path", by("shop"), request("POST", "/depot/b", `{}`), "400 Sender MalformedInput: a request of the query protocol is a GET, or a POST of application/x-www-form-urlencoded, not a POST of &#34;&#34;"},
		{"another service's action", by("depot"), request("POST", "/", "Action=Put&Version=2026-01-01&Name=n", "Content-Type", form), `404 UnknownOperationException: the Gust Depot API has no operation POST \"/\"`},
		{"an operation that is none, in JSON", ok, request("POST", "/", `{}`, "X-Amz-Target", "Shop_2026.Get", "Content-Type", jsonBody), `400 UnknownOperationException: the Gust Shop API has no operation \"Get\"`},
		{"an action that is none", ok, request("POST", "/", "Action=Get&Version=2026-01-01", "Content-Type", form), "400 Sender InvalidAction: Could not find operation Get for version 2026-01-01"},
		{"a version that is none", ok, request("POST", "/", "Action=Put&Version=2025-01-01", "Content-Type", form), "400 Sender InvalidAction: Could not find operation Put for version 2025-01-01"},
		{"no action", ok, request("POST", "/", "Version=2026-01-01", "Content-Type", form), "400 Sender MissingAction: the request has no Action"},
		{"two actions", ok, request("POST", "/?Action=Login", "Action=Put", "Content-Type", form), "400 Sender MalformedInput: the parameter &#34;Action&#34; is there twice"},
		{"two targets", ok, func() *http.Request {
			r := request("POST", "/", "{}", "X-Amz-Target", "Shop_2026.Put", "Content-Type", jsonBody)
			r.Header.Add("X-Amz-Target", "Shop_2026.Login")
			return r
		}(), `400 UnknownOperationException: X-Amz-Target is \"Shop_2026.Put\": it is one SERVICE.Operation`},
		{"a target that is none", ok, request("POST", "/", "{}", "X-Amz-Target", "Put", "Content-Type", jsonBody), `400 UnknownOperationException: X-Amz-Target is \"Put\": it is one SERVICE.Operation`},
		{"a target in a path", ok, request("POST", "/x", "{}", "X-Amz-Target", "Shop_2026.Put", "Content-Type", jsonBody), `400 UnknownOperationException: an AWS JSON request is a POST to /, not a POST to \"/x\"`},
		{"a target with a form", ok, request("POST", "/", "Name=n", "X-Amz-Target", "Shop_2026.Put", "Content-Type", form), `400 SerializationException: the Content-Type of a request with X-Amz-Target is application/x-amz-json-1.0 or -1.1, not \"application/x-www-form-urlencoded\"`},
		{"a path that is none", ok, request("GET", "/nowhere", ""), `404 UnknownOperationException: the AWS API has no operation GET \"/nowhere\"`},
		{"what is refused, in JSON", ok, request("POST", "/", `{}`, "X-Amz-Target", "Shop_2026.Never", "Content-Type", jsonBody), "400 UnknownOperationException: the Gust Shop operation Never is not carried out by Gust: use Put"},
		{"what is refused, in a query", ok, request("POST", "/", "Action=Never&Version=2026-01-01", "Content-Type", form), "400 Sender InvalidAction: the Gust Shop operation Never is not carried out by Gust: use Put"},
		{"what is refused, in REST", ok, request("DELETE", "/depot/b", ""), "501 UnknownOperationException: the Gust Depot operation Burn is not carried out by Gust: nothing burns"},
		{"a path with its query", ok, request("POST", "/depot/b?list", ""), "501 UnknownOperationException: the Gust Depot operation List is not carried out by Gust: nothing burns"},
		{"a path with its query and an equals sign", ok, request("POST", "/depot/b?list=", ""), "501 UnknownOperationException: the Gust Depot operation List is not carried out by Gust: nothing burns"},
	} {
		w := serve(h, c.how(c.r))
		if got := said(w); !strings.HasPrefix(got, c.want) || len(w.Header().Get("X-Amzn-Requestid")+w.Header().Get("X-Amz-Request-Id")) != 36 {
			t.Errorf("%s:\n got %s\nwant %s\n%s", c.name, got, c.want, w.Body)
		}
	}
}

// TestPathsThatAreNotStraight: a signature is for all paths that are the same once
// "//", "." and ".." are out of them, and the operation only for the one that has
// none.
func TestPathsThatAreNotStraight(t *testing.T) {
	h, door := handler(t)
	for path, signed := range map[string]string{
		"/depot/b": "/depot/b", "/depot/b/": "/depot/b/", "/depot/a.b": "/depot/a.b", "/depot/...": "/depot/...",
	} {
		r := request("POST", path, `{"Thing":{"Name":"n"}}`)
		r.Header.Del("Authorization")
		wiretest.Sign(t, r, "depot")
		if w := serve(h, r); w.Code != 201 {
			t.Errorf("%s, signed as %s: %d %s", path, signed, w.Code, w.Body)
		}
	}
	asked := len(door.Needs())
	for path, signed := range map[string]string{
		"//depot/b": "/depot/b", "/depot//b": "/depot/b", "/depot/b//": "/depot/b/", "/./depot/b": "/depot/b", "/depot/./b": "/depot/b", "/depot/b/.": "/depot/b",
		"/x/../depot/b": "/depot/b", "/depot/x/../b": "/depot/b", "/depot/..": "/", "/depot/x/b/../..": "/depot",
		"/depot/%2e%2e": "", "/depot/%2E": "", "/depot/.%2e": "", // signatures leave these as they are
	} {
		r := request("POST", path, `{"Thing":{"Name":"n"}}`)
		if signed != "" {
			good := request("POST", signed, `{"Thing":{"Name":"n"}}`)
			good.Header.Del("Authorization")
			wiretest.Sign(t, good, "depot")
			r.Header = good.Header
		}
		want := fmt.Sprintf("400 SerializationException: the path %s has a segment that is empty", strings.ReplaceAll(fmt.Sprintf("%q", path), `"`, `\"`))
		if got := said(serve(h, r)); !strings.HasPrefix(got, want) {
			t.Errorf("%s, signed as %q: %s", path, signed, got)
		}
	}
	if now := len(door.Needs()); now != asked {
		t.Errorf("%d came to be asked about", now-asked)
	}
}

// TestNobodyWithoutACredential: whoever is not let in is told so in the words of
// the protocol, and nothing else.
func TestNobodyWithoutACredential(t *testing.T) {
	h, door := handler(t)
	var all, without uint64 // that the guard has counted
	unsigned := func(r *http.Request) *http.Request { r.Header.Del("Authorization"); return r }
	wrong := func(r *http.Request) *http.Request { r.Header.Set("Authorization", wiretest.Bearer+"x"); return r }
	broken := func(r *http.Request) *http.Request {
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/shop/aws4_request")
		return r
	}
	inJSON := func() *http.Request {
		return request("POST", "/", `{"Name":"n"}`, "X-Amz-Target", "Shop_2026.Put", "Content-Type", jsonBody)
	}
	inQuery := func() *http.Request { return request("POST", "/", "Action=Put&Name=n", "Content-Type", form) }
	inREST := func() *http.Request { return request("POST", "/depot/b", `{"Thing":{"Name":"n"}}`) }
	for _, c := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"JSON unsigned", unsigned(inJSON()), "400 MissingAuthenticationTokenException: Request is missing Authentication Token"},
		{"query unsigned", unsigned(inQuery()), "403 Sender MissingAuthenticationToken: Request is missing Authentication Token"},
		{"REST unsigned", unsigned(inREST()), "403 MissingAuthenticationTokenException: Request is missing Authentication Token"},
		{"JSON wrong", wrong(inJSON()), "400 UnrecognizedClientException: The security token included in the request is invalid."},
		{"query wrong", wrong(inQuery()), "403 Sender InvalidClientTokenId: The security token included in the request is invalid."},
		{"REST wrong", wrong(inREST()), "403 UnrecognizedClientException: The security token included in the request is invalid."},
		{"JSON broken", broken(inJSON()), "400 IncompleteSignatureException: "},
		{"query broken", broken(inQuery()), "400 Sender IncompleteSignature: "},
		{"nothing at all", unsigned(request("GET", "/", "")), "403 MissingAuthenticationTokenException: "},
		{"what is not there", unsigned(request("POST", "/", "Action=Nothing", "Content-Type", form)), "403 Sender MissingAuthenticationToken: "},
		{"what is refused", unsigned(request("DELETE", "/depot/b", "")), "403 MissingAuthenticationTokenException: "},
		{"a wrong query", unsigned(request("POST", "/", "%zz", "Content-Type", form)), "403 Sender MissingAuthenticationToken: "},
		{"no service", unsigned(request("POST", "/", "{}", "X-Amz-Target", "No.Thing", "Content-Type", jsonBody)), "400 MissingAuthenticationTokenException: "},
		{"what is open to all", unsigned(request("POST", "/", "Action=Login", "Content-Type", form)), "200  : "},
		{"what is open to all, with a wrong key", wrong(request("POST", "/", "Action=Login", "Content-Type", form)), "403 Sender InvalidClientTokenId: "},
	} {
		if got := said(serve(h, c.r)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		counted, missing := uint64(0), uint64(0)
		refused, _ := door.Figures()
		for code, n := range refused {
			if counted += n; code == access.Missing {
				missing = n
			}
		}
		none := c.r.Header.Get("Authorization") == ""
		if open := none && strings.HasPrefix(c.want, "200"); counted-all != 1 != open || missing-without == 1 != (none && !open) {
			t.Errorf("%s: counted %d times, %d of them without a credential", c.name, counted-all, missing-without)
		}
		all, without = counted, missing
	}
	if needs := door.Needs(); needs != nil {
		t.Error("somebody came to be asked about:", needs)
	}
	if err := door.Log.Close(); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for r, err := range door.Log.Read(t.Context(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Result == audit.Refused {
			n += r.Count
		}
	}
	if n != all {
		t.Errorf("%d are counted in the audit log, of %d", n, all)
	}
}

// TestDenied: who may not is told who may not do what, after the request has been
// found to be in order.
func TestDenied(t *testing.T) {
	h, door := handler(t)
	door.Deny("shop:Put", true)
	const text = "User: arn:aws:iam::000000000000:root is not authorized to perform: shop:Put on resource: arn:aws:shop:::thing/n"
	if got := said(askJSON(h, "Put", `{"Name":"n"}`)); !strings.HasPrefix(got, "400 AccessDeniedException: "+text) {
		t.Error(got)
	}
	if got := said(askQuery(h, "Action=Put&Name=n")); !strings.HasPrefix(got, "403 Sender AccessDenied: "+text) {
		t.Error(got)
	}
	if got := said(askJSON(h, "Put", `{"Name":""}`)); !strings.HasPrefix(got, "400 ValidationException: ") {
		t.Error(got)
	}
}

// TestErrors: the table of a service, in each protocol.
func TestErrors(t *testing.T) {
	h, _ := handler(t)
	for name, want := range map[string][2]string{
		"nothing": {`404 {"__type":"NoSuchThingException","message":"there is <nothing>","Name":"x","Count":3} NoSuchThing;Sender`,
			"<Error><Type>Sender</Type><Code>NoSuchThing</Code><Message>there is &lt;nothing&gt;</Message><Name>x</Name><Count>3</Count></Error>"},
		"broken": {`500 {"__type":"BrokenException","Message":"broken"} BrokenException;Receiver`,
			"<Error><Type>Receiver</Type><Code>BrokenException</Code><Message>broken</Message></Error>"},
		"closing": {`503 {"__type":"ServiceUnavailable","message":"` + gust.ErrClosing.Error() + `"} ServiceUnavailable;Receiver`,
			"<Error><Type>Receiver</Type><Code>ServiceUnavailable</Code><Message>" + gust.ErrClosing.Error() + "</Message></Error>"},
		"own": {`409 {"__type":"ConflictException","message":"taken"} ConflictException;Sender`,
			"<Error><Type>Sender</Type><Code>ConflictException</Code><Message>taken</Message></Error>"},
		"secret": {`500 {"__type":"InternalServerError","message":"the request failed inside the node; its log has the reason, by the request's id"} InternalServerError;Receiver`,
			"<Error><Type>Receiver</Type><Code>InternalFailure</Code><Message>the request failed inside the node; its log has the reason, by the request&#39;s id</Message></Error>"},
	} {
		w := askJSON(h, "Fail", `{"Name":"`+name+`"}`)
		if got := fmt.Sprint(w.Code, " ", w.Body, " ", w.Header().Get("X-Amzn-Query-Error")); got != want[0] {
			t.Errorf("%s: %s\nwant %s", name, got, want[0])
		}
		if after := w.Header().Get("Retry-After"); (after == "2") != (name == "own") {
			t.Errorf("%s: Retry-After %q", name, after)
		}
		whole := `<ErrorResponse xmlns="https://shop.example.com/doc/">` + want[1] + "<RequestId>"
		if w := askQuery(h, "Action=Fail&Name="+name); !strings.HasPrefix(w.Body.String(), whole) || !strings.HasSuffix(w.Body.String(), w.Header().Get("X-Amzn-Requestid")+"</RequestId></ErrorResponse>") {
			t.Errorf("%s: %s\nwant %s", name, w.Body, whole)
		}
	}
}

// TestValidation: what is not as the model has it is told in AWS's words, all at
// once, in the same words in each protocol.
func TestValidation(t *testing.T) {
	h, _ := handler(t)
	for _, c := range []struct{ doc, form, want string }{
		{`{}`, "", "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{`{"Name":null}`, "", "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{`{"Name":"much too long"}`, "Name=much+too+long", "2 validation errors detected: Value 'much too long' at 'name' failed to satisfy constraint: Member must have length less than or equal to 8; " +
			`Value 'much too long' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+`},
		{`{"Name":""}`, "Name=", "2 validation errors detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'name'"},
		{`{"Name":"n","Secret":"abc"}`, "Name=n&Secret=abc", "1 validation error detected: Value at 'secret' failed to satisfy constraint: Member must have length greater than or equal to 4"},
		{`{"Name":"n","Thing":{"Name":"t","Kind":"huge"}}`, "Name=n&Thing.Name=t&Thing.Kind=huge", "1 validation error detected: Value 'huge' at 'thing.kind' failed to satisfy constraint: Member must satisfy enum value set: [big, small]"},
		{`{"Name":"n","Thing":{"Name":"t","Count":11}}`, "Name=n&Thing.Name=t&Thing.Count=11", "1 validation error detected: Value '11' at 'thing.count' failed to satisfy constraint: Member must have value less than or equal to 10"},
		{`{"Name":"n","Thing":{"Name":"t","Count":0}}`, "Name=n&Thing.Name=t&Thing.Count=0", "1 validation error detected: Value '0' at 'thing.count' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{`{"Name":"n","Thing":{"Name":"t","Tags":[{"Key":"k","Value":""},{"Key":"ä","Value":"v"}]}}`, "Name=n&Thing.Name=t&Thing.Tags.member.1.Key=k&Thing.Tags.member.1.Value=&Thing.Tags.member.2.Key=%C3%A4&Thing.Tags.member.2.Value=v",
			"1 validation error detected: Value 'ä' at 'thing.tags.2.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern"},
		{`{"Name":"n","Thing":{"Name":"t","Tags":[{"Key":"k"}]}}`, "Name=n&Thing.Name=t&Thing.Tags.member.1.Key=k", "1 validation error detected: Value null at 'thing.tags.1.member.value' failed to satisfy constraint: Member must not be null"},
		{`{"Name":"n","Colour":"red"}`, "", `the member \"Colour\" is not known to Gust: leave it out`},
		{`{"Name":"n","Thing":{"Name":"t","Parts":[{"Name":"t","Colour":1}]}}`, "", `the member \"thing.parts.1.member.Colour\" is not known to Gust: leave it out`},
		{"", "Name=n&Colour=red", "the parameter &#34;Colour&#34; is not known to Gust: leave it out"},
		{"", "Name=n&Thing.Parts.member.1.Name=t&Thing.Parts.member.1.Colour=red&Thing.Name=t", "the parameter &#34;Thing.Parts.member.1.Colour&#34; is not known to Gust: leave it out"},
	} {
		if c.doc != "" {
			want := strings.ReplaceAll(c.want, `: [\w`, `: [\\w`)
			if got := said(askJSON(h, "Put", c.doc)); !strings.HasPrefix(got, "400 ValidationException: "+want) {
				t.Errorf("%s:\n got %s\nwant %s", c.doc, got, want)
			}
		}
		if c.form != "" {
			want := strings.ReplaceAll(c.want, "'", "&#39;")
			if got := said(askQuery(h, "Action=Put&"+c.form)); !strings.HasPrefix(got, "400 Sender ValidationError: "+want) {
				t.Errorf("%s:\n got %s\nwant %s", c.form, got, want)
			}
		}
	}
	many := strings.Repeat(`{"Name":"t","Kind":"x"},`, 30)
	if got := said(askJSON(h, "Put", `{"Name":"n","Thing":{"Name":"t","Parts":[`+strings.TrimSuffix(many, ",")+`]}}`)); !strings.HasPrefix(got, "400 ValidationException: 30 validation errors detected: ") ||
		strings.Count(got, "Value") != maxFindings {
		t.Error(got)
	}
}

// TestAttacks: what is sent to hurt is refused by its limit, or for what it is.
func TestAttacks(t *testing.T) {
	h, _ := handler(t)
	deep := strings.Repeat(`{"Name":"t","Parts":[`, MaxDepth)
	for doc, want := range map[string]string{
		`{"Name":"n","Thing":` + deep:                                    fmt.Sprint("it is nested deeper than ", MaxDepth),
		strings.Repeat("[", 1e5):                                         "want '{', not '['",
		`{"Name":"n","Name":"m"}`:                                        `the member \"Name\" is there twice`,
		`{"Name":"n","Thing":{"Name":"t","Attrs":{"a":"1","a":"2"}}}`:    `the key \"a\" is there twice`,
		`{"Name":"n","Thing":{"Name":"t","Count":1e3}}`:                  "whole number of 32 bits, not 1e3",
		`{"Name":"n","Thing":{"Name":"t","Count":99999999999999999999}}`: "whole number of 32 bits",
		`{"Name":"n","Thing":{"Name":"t","Count":1.5}}`:                  "whole number of 32 bits",
		`{"Name":"n","Thing":{"Name":"t","Count":01}}`:                   "a number of this form is none",
		`{"Name":"n","Thing":{"Name":"t","Price":1e999}}`:                "the number 1e999 is out of range",
		`{"Name":"n","Thing":{"Name":"t","Price":"0x10"}}`:               "has to be a number",
		`{"Name":"n","Thing":{"Name":"t","Made":1e300}}`:                 "has to be a time as seconds since 1970",
		`{"Name":"n","Thing":{"Name":"t","Data":"*"}}`:                   "has to be in base64",
		`{"Name":"n","Thing":[]}`:                                        "want '{', not '['",
		`{"Name":["n"]}`:                                                 `\"name\" has to be a string, not '['`,
		`{"Name":"n"}{}`:                                                 "something follows the document",
		`{"Name":"n",}`:                                                  "a comma before '}'",
		`{"Name":"\ud800"}`:                                              "half of a surrogate pair",
		`{"Name":"` + "\xff" + `"}`:                                      "the string is not UTF-8",
		`{"Name":"` + "\x00" + `"}`:                                      "a control character in a string",
		`{"Name":"n`:                                                     "the string does not end",
		`{"Name":tru}`:                                                   "has to be a string",
		`{"Name":"n","Thing":{"Name":"t","Numbers":[` + strings.Repeat("1,", MaxMembers) + `1]}}`: `\"thing.numbers\" has over 20000 members`,
		`{"Name":"n","Secret":"` + strings.Repeat("x", DefaultMaxBody) + `"}`:                     "over the limit of 1048576",
	} {
		w := askJSON(h, "Put", doc)
		if w.Code != 400 && w.Code != 413 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%.60s: %d %s, want %s", doc, w.Code, w.Body, want)
		}
	}
	for body, want := range map[string]string{
		"Thing.Tags.member.1000000000.Key=k":           "Thing.Tags.member.1000000000&#34; has an index over the number of members that are there, 1",
		"Thing.Tags.member.2.Key=k":                    "Thing.Tags.member.2&#34; has an index over the number",
		"Thing.Tags.member.99999999999999999999.Key=k": "has an index that is not 1, 2, 3",
		"Thing.Tags.member.01.Key=k":                   "has an index that is not 1, 2, 3",
		"Thing.Tags.member.0.Key=k":                    "has an index that is not 1, 2, 3",
		"Thing.Tags.member.-1.Key=k":                   "has an index that is not 1, 2, 3",
		"Thing.Tags.1.Key=k":                           "is not one of Thing.Tags.member.N",
		"Thing.Tags.member=x":                          "has an index that is not 1, 2, 3",
		"Thing.Attrs.entry=x":                          "has an index that is not 1, 2, 3",
		"Thing.Attrs.entry.1=x":                        "is neither key nor value of an entry",
		"Thing.Attrs=x":                                "is a map",
		"Thing.Tags.member.1=x":                        "has members",
		"Thing.Tags=x":                                 "is a list",
		"Thing=x":                                      "has members",
		"Name.x=1":                                     "has no members",
		"Name=n&Name=m":                                "the parameter &#34;Name&#34; is there twice",
		"Thing.Attrs.entry.1.key=a":                    "has not both a key and a value",
		"Thing.Attrs.entry.1.key=a&Thing.Attrs.entry.1.colour=red":                                                    "is neither key nor value of an entry",
		"Thing.Attrs.entry.1.key=a&Thing.Attrs.entry.1.value=1&Thing.Attrs.entry.2.key=a&Thing.Attrs.entry.2.value=1": "has a key that is there twice",
		"Thing." + strings.Repeat("Parts.member.1.", MaxDepth) + "Name=t":                                             fmt.Sprintf("is deeper than %d parts", MaxDepth),
		strings.Repeat("&", MaxParameters):                                                                            "over 4000 parameters",
		"%zz=1":                                                                                                       "the parameter &#34;%zz&#34; is wrong",
		"Thing.Count=0x10":                                                                                            "not a whole number of 32 bits",
		"Thing.Big=yes":                                                                                               "not true or false",
		"Thing.Price=0x1p-2":                                                                                          "not a number",
		"Thing.Made=yesterday":                                                                                        "not a time as 2006-01-02T15:04:05Z",
		".=1":                                                                                                         "is not known to Gust",
		"=1":                                                                                                          "is not known to Gust",
	} {
		w := askQuery(h, "Action=Put&"+body)
		if w.Code != 400 && w.Code != 413 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%.60s: %d %s, want %s", body, w.Code, w.Body, want)
		}
	}
	r := request("POST", "/", "{}", "X-Amz-Target", "Shop_2026.Put", "Content-Type", jsonBody, "X-Padding", strings.Repeat("x", MaxHeaders))
	if got := said(serve(h, r)); !strings.HasPrefix(got, "413 RequestEntityTooLargeException: the headers of the request have 32") {
		t.Error(got)
	}
	r = request("POST", "/", "", "X-Amz-Target", "Shop_2026.Put", "Content-Type", jsonBody)
	r.Body, r.ContentLength = http.NoBody, DefaultMaxBody+1
	if got := said(serve(h, r)); !strings.HasPrefix(got, "413 RequestEntityTooLargeException: ") {
		t.Error(got)
	}
}

// TestREST: labels, the query and headers come to their members, and go back.
func TestREST(t *testing.T) {
	h, _ := handler(t)
	w := serve(h, request("PUT", "/depot/b%40x/a/b%2Fc/d?kind=x&kind=y&since=2026-01-02T03:04:05Z&limit=202&x-id=Fetch", "body",
		"If-Match", "abc", "X-Meta-Colour", "red"))
	want := http.Header{"Etag": {"abc"}, "Last-Modified": {"Fri, 02 Jan 2026 03:04:05 GMT"}, "x-meta-colour": {"red"}, "Content-Type": {"application/octet-stream"},
		"Content-Length": {"52"}, "X-Amzn-Requestid": w.Header()["X-Amzn-Requestid"]}
	if got := w.Body.String(); w.Code != 202 || got != "b@x|a/b/c/d|[x y]|2026-01-02 03:04:05 +0000 UTC|body" || !reflect.DeepEqual(w.Header(), want) {
		t.Errorf("%d %s\n%v\n%v", w.Code, got, w.Header(), want)
	}
	w = serve(h, request("POST", "/depot/b", `{"Thing":{"Name":"t","Made":1},"Note":"x"}`))
	if w.Code != 201 || w.Body.String() != `{"Thing":{"Name":"t","Made":1},"Note":"x"}` || w.Header().Get("Content-Type") != "application/json" {
		t.Error(w.Code, w.Body, w.Header())
	}
	for target, want := range map[string]string{
		"/depot/b/p?limit=x":         "400 SerializationException: limit is \\\"x\\\", not a whole number of 32 bits",
		"/depot/b/p?limit=1&limit=2": "400 ValidationException: limit is there 2 times: it may be once",
		"/depot/b/p?colour=red":      "400 ValidationException: the parameter \\\"colour\\\" is not known to Gust: leave it out",
		"/depot/b/p?%zz":             "400 SerializationException: the parameter \\\"%zz\\\" is wrong",
		"/depot/much-too-long/p":     "400 ValidationException: 1 validation error detected: Value 'much-too-long' at 'box'",
		"/depot/b/p?since=tomorrow":  "400 SerializationException: since is \\\"tomorrow\\\", not a time as",
		"/depot//p":                  "400 SerializationException: the path \\\"/depot//p\\\" has a segment",
		"/depot/b/p?x-id=Store":      "400 ValidationException: the parameter \\\"x-id\\\"",
	} {
		if got := said(serve(h, request("PUT", target, ""))); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	for doc, want := range map[string]string{
		`{}`:                               "Value null at 'thing' failed to satisfy constraint",
		``:                                 "Value null at 'thing' failed to satisfy constraint",
		`{"Thing":{"Name":"t"},"Box":"b"}`: `the member \"Box\" is not known`,
		`{"Thing":{}}`:                     "Value null at 'thing.name'",
	} {
		if w := serve(h, request("POST", "/depot/b", doc)); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", doc, w.Code, w.Body)
		}
	}
}

// TestAPlusIsWhatWasSigned: nobody makes a space of the plus that was signed, or
// the other way round. In a form, which is signed as it is, a plus is a space.
func TestAPlusIsWhatWasSigned(t *testing.T) {
	h, _ := handler(t)
	const put, fetch = "/?Action=Put&Name=n&Thing.Name=n&Thing.Tags.member.1.Key=k&Thing.Tags.member.1.Value=", "/depot/b/p?kind="
	for _, c := range []struct{ method, target, service, signed, sent, want string }{
		{"GET", put, "shop", "a%2Bb", "a%2Bb", "200 <Value>a+b</Value>"},
		{"GET", put, "shop", "a%2Bb", "a+b", "200 <Value>a+b</Value>"},
		{"GET", put, "shop", "a%2Bb", "a%20b", "403 security token"},
		{"GET", put, "shop", "a%20b", "a%20b", "200 <Value>a b</Value>"},
		{"GET", put, "shop", "a%20b", "a+b", "403 security token"},
		{"PUT", fetch, "depot", "a%2Bb", "a+b", "200 [a+b]"},
		{"PUT", fetch, "depot", "a%20b", "a%20b", "200 [a b]"},
		{"PUT", fetch, "depot", "a%20b", "a+b", "403 security token"},
	} {
		signed := httptest.NewRequest(c.method, c.target+c.signed, strings.NewReader(""))
		wiretest.Sign(t, signed, c.service)
		sent := httptest.NewRequest(c.method, c.target+c.sent, strings.NewReader(""))
		sent.Header = signed.Header
		w := serve(h, sent)
		status, text, _ := strings.Cut(c.want, " ")
		if fmt.Sprint(w.Code) != status || !strings.Contains(w.Body.String()+w.Header().Get("X-Amzn-Errortype"), text) {
			t.Errorf("%s signed, %s sent: %d %s, want %s", c.signed, c.sent, w.Code, w.Body, c.want)
		}
	}
	if w := askQuery(h, "Action=Put&Version=2026-01-01&Name=n&Thing.Name=n&Thing.Tags.member.1.Key=k&Thing.Tags.member.1.Value=a+b%2B"); !strings.Contains(w.Body.String(), "<Value>a b+</Value>") {
		t.Errorf("a form: %d %s", w.Code, w.Body)
	}
}

// TestTables: a table that does not fit its model is refused when it is made.
func TestTables(t *testing.T) {
	for want, change := range map[string]func(*Service){
		"the operation Never is neither carried out nor refused": func(s *Service) { s.Operations = s.Operations[:len(s.Operations)-1] },
		"the operation Put is there twice":                       func(s *Service) { s.Operations = append(s.Operations, s.Operations[0]) },
		"its model has no operation Get":                         func(s *Service) { s.Operations = append(s.Operations, Operation{Name: "Get", Note: "x"}) },
		"does not say how it is carried out":                     func(s *Service) { s.Operations[0].Note = "" },
		"the model has no shape nameType": func(s *Service) {
			m := *s.Model
			m.Shapes, s.Model = nil, &m
		},
	} {
		s := shop()
		change(s)
		if _, err := New(Options{Services: []*Service{s}}); err == nil || !strings.Contains(err.Error(), "the AWS service shop: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestScope: a service is what the credential names, and nothing else that has
// the name of one in it.
func TestScope(t *testing.T) {
	const credential = "AKIA%2F20260101%2Fus-east-1%2Fshop%2Faws4_request"
	other := strings.Replace(credential, "shop", "other", 1)
	for query, want := range map[string]string{
		"X-Amz-Credential=" + credential:                                    "shop",
		"a=b&X-Amz-Credential=" + credential + "&c=d":                       "shop",
		"Not-X-Amz-Credential=" + other + "&X-Amz-Credential=" + credential: "shop",
		"a=X-Amz-Credential=" + other + "&X-Amz-Credential=" + credential:   "shop",
		"Not-X-Amz-Credential=" + other + "&a=X-Amz-Credential=" + other:    "",
		"X-Amz-Credential=AKIA%2Fus-east-1%2Fshop%2Faws4_request":           "",
	} {
		if got := scope(request("GET", "/?"+query, "", "Authorization", "")); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// TestBodiesThatBreakOff: a body that does not come while its signature is looked
// at is no failure of the node's.
func TestBodiesThatBreakOff(t *testing.T) {
	h, _ := handler(t)
	for _, c := range []struct {
		err  error
		want string
	}{
		{io.ErrUnexpectedEOF, "400 Sender MalformedInput: the body of the request broke off"},
		{access.ErrSlow, "408 Sender RequestTimeout: the body of the request came too slowly"},
	} {
		r := request("POST", "/", "Action=Put&Name=n", "Content-Type", form)
		r.Header.Del("Authorization")
		wiretest.Sign(t, r, "shop")
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("Action"), iotest.ErrReader(c.err)))
		if got := said(serve(h, r)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}
