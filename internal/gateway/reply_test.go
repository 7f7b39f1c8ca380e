package gateway

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/aws/aws-lambda-go/events"
)

// written is the response that a function's answer makes, "status headers...
// | body", the headers in order of their names.
func written(answer string) string {
	a, err := parseReply([]byte(answer), &scratch{})
	if err != nil {
		return "error: " + err.Error()
	}
	w := httptest.NewRecorder()
	a.write(w, "GET")
	return shown(w.Result())
}

func shown(resp *http.Response) string {
	var b strings.Builder
	fmt.Fprint(&b, resp.StatusCode)
	var head strings.Builder
	resp.Header.Del("Date")
	if err := resp.Header.Write(&head); err != nil {
		return err.Error()
	}
	for line := range strings.Lines(head.String()) {
		b.WriteString(" " + strings.TrimSpace(line))
	}
	body, err := io.ReadAll(resp.Body)
	fmt.Fprintf(&b, " | %s", body)
	if err != nil {
		fmt.Fprintf(&b, " %v", err)
	}
	return b.String()
}

func TestReplies(t *testing.T) {
	const text = " Content-Type: text/plain; charset=utf-8"
	for _, c := range []struct{ answer, want string }{
		// Without a statusCode the whole answer is the body.
		{`{"message":"hi"}`, `200 Content-Length: 16 Content-Type: application/json | {"message":"hi"}`},
		{` "hi" `, `200 Content-Length: 6 Content-Type: application/json |  "hi" `},
		{`null`, `200 Content-Length: 4 Content-Type: application/json | null`},
		{`[1]`, `200 Content-Length: 3 Content-Type: application/json | [1]`},
		{`{"body":"x","headers":3}`, `200 Content-Length: 24 Content-Type: application/json | {"body":"x","headers":3}`},
		{`{"statuscode":201}`, `200 Content-Length: 18 Content-Type: application/json | {"statuscode":201}`},
		// With one it says what the response is.
		{`{"statusCode":201,"body":"hi"}`, "201 Content-Length: 2" + text + " | hi"},
		{`{"statusCode":"404"}`, `404 Content-Length: 0 | `},
		{`{"\u0073tatusCode":200,"body":"\u0041\n\ud83d\ude00\/"}`, "200 Content-Length: 7" + text + " | A\n😀/"},
		{`{"statusCode":200,"body":null,"headers":null,"cookies":null,"multiValueHeaders":null,"isBase64Encoded":null}`, `200 Content-Length: 0 | `},
		{`{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, "200 Content-Length: 2" + text + " | hi"},
		{`{"statusCode":200,"body":"\/\/\/\/","isBase64Encoded":true}`, "200 Content-Length: 3" + text + " | \xff\xff\xff"},
		{`{"statusCode":200,"statusCode":202}`, `202 Content-Length: 0 | `},
		{`{"statusCode":200,"unknown":{"a":[]}}`, `200 Content-Length: 0 | `},
		{`{"statusCode":200,"headers":{"content-type":"text/html","x-n":1.5,"X-B":true,"x-empty":""},"body":"<p>"}`,
			`200 Content-Length: 3 Content-Type: text/html X-B: true X-Empty: X-N: 1.5 | <p>`},
		{`{"statusCode":302,"headers":{"Location":"/é"},"cookies":["a=1; Path=/","b=2"]}`,
			"302 Content-Length: 0 Location: /é Set-Cookie: a=1; Path=/ Set-Cookie: b=2 | "},
		{`{"statusCode":200,"headers":{"set-cookie":"c=3","X-A":"1"},"cookies":["a=1"],"multiValueHeaders":{"x-a":["1","2"],"x-c":null,"set-cookie":["d=4"]}}`,
			"200 Content-Length: 0 Set-Cookie: c=3 Set-Cookie: d=4 Set-Cookie: a=1 X-A: 1 X-A: 2 | "},
		{`{"statusCode":200,"headers":{"content-type":"a/b","Content-Type":"c/d"},"multiValueHeaders":{"content-type":["e/f"]}}`,
			"200 Content-Length: 0 Content-Type: e/f | "},
		// What is between the gateway and the client is not the function's.
		{`{"statusCode":200,"headers":{"connection":"close","Transfer-Encoding":"chunked","keep-alive":"1","upgrade":"h2c","content-length":"999","X-Amzn-RequestId":"mine"},"body":"x"}`,
			"200 Content-Length: 1" + text + " | x"},
		// A response that has no body gets none.
		{`{"statusCode":204,"body":"x"}`, `204 | `},
		{`{"statusCode":304,"headers":{"ETag":"1"},"body":"x"}`, `304 Etag: 1 | `},

		{``, `error: the answer is not JSON: it ends at byte 0, where a value should be`},
		{`hello`, `error: the answer is not JSON: byte 0 is 'h', where a value should be`},
		{`{"statusCode":200} x`, `error: the answer is not JSON: byte 19 is 'x', where the end should be`},
		{`{"statusCode":200,"body":"x"`, `error: the answer is not JSON: it ends at byte 28, where a comma or a closing brace should be`},
		{`{"statusCode":null}`, `error: the answer's statusCode is null: it has to be a whole number from 200 to 599`},
		{`{"statusCode":0,"body":"x"}`, `error: the answer's statusCode is 0: it has to be a whole number from 200 to 599`},
		{`{"statusCode":100}`, `error: the answer's statusCode is 100: it has to be a whole number from 200 to 599`},
		{`{"statusCode":101}`, `error: the answer's statusCode is 101: it has to be a whole number from 200 to 599`},
		{`{"statusCode":600}`, `error: the answer's statusCode is 600: it has to be a whole number from 200 to 599`},
		{`{"statusCode":200.5}`, `error: the answer's statusCode is 200.5: it has to be a whole number from 200 to 599`},
		{`{"statusCode":"abc"}`, `error: the answer's statusCode is "abc": it has to be a whole number from 200 to 599`},
		{`{"statusCode":200,"body":{"a":1}}`, `error: the answer's body is not a string: numbers and objects have to be written as JSON into one`},
		{`{"statusCode":200,"body":"%%","isBase64Encoded":true}`, `error: the answer's body is not in base64, as its isBase64Encoded says: illegal base64 data at input byte 0`},
		{`{"statusCode":200,"isBase64Encoded":"true"}`, `error: the answer's isBase64Encoded is "true": it has to be true or false`},
		{`{"statusCode":200,"headers":[]}`, `error: the answer's headers are wrong: byte 0 is '[', where an object should be`},
		{`{"statusCode":200,"headers":{"a b":"c"}}`, `error: the answer's headers are wrong: "a b" is not the name of a header`},
		{`{"statusCode":200,"headers":{"":"c"}}`, `error: the answer's headers are wrong: "" is not the name of a header`},
		{`{"statusCode":200,"headers":{"Trailer:X":"c"}}`, `error: the answer's headers are wrong: "Trailer:X" is not the name of a header`},
		{`{"statusCode":200,"headers":{"a":"b\r\nSet-Cookie: c"}}`, `error: the answer's headers are wrong: the value of header "a" holds a control character`},
		{`{"statusCode":200,"headers":{"a":null}}`, `error: the answer's headers are wrong: byte 5 is 'n', where a string should be`},
		{`{"statusCode":200,"multiValueHeaders":{"a":"b"}}`, `error: the answer's multiValueHeaders are wrong: byte 5 is '"', where an array should be`},
		{`{"statusCode":200,"cookies":["a=1\n"]}`, `error: the answer's cookies are wrong: the value of header "Set-Cookie" holds a control character`},
		{`{"statusCode":200,"cookies":"a"}`, `error: the answer's cookies are wrong: byte 0 is '"', where an array should be`},
		{`{"statusCode":200,"cookies":[1]}`, `error: the answer's cookies are wrong: byte 1 is '1', where a string should be`},
	} {
		if got := written(c.answer); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.answer, got, c.want)
		}
	}
}

func TestReplyHeaderLimits(t *testing.T) {
	long := fmt.Sprintf(`{"statusCode":200,"headers":{"a":"%s"}}`, strings.Repeat("x", maxReplyHeader))
	var many []string
	for i := range maxReplyFields + 1 {
		many = append(many, strconv.Quote("x"+strconv.Itoa(i))+`:"1"`)
	}
	for _, answer := range []string{long, `{"statusCode":200,"headers":{` + strings.Join(many, ",") + `}}`} {
		if got := written(answer); !strings.Contains(got, "over the limit of 65536 bytes (64 KB) or 1000 headers") {
			t.Errorf("%.100s", got)
		}
	}
	if got := written(`{"statusCode":200,"headers":{` + strings.Join(many[1:], ",") + `}}`); !strings.HasPrefix(got, "200 ") {
		t.Errorf("at the limit: %.100s", got)
	}
}

// FuzzReply holds the answer's reading against encoding/json's.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":"b"},"multiValueHeaders":{"a":["c"]},"cookies":["d"],"body":"e","isBase64Encoded":false}`))
	f.Add([]byte(`{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`))
	f.Add([]byte(`{"statusCode":200,"body":"\u00e9\ud83d\ude00"}`))
	f.Add([]byte(`"text"`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		a, err := parseReply(answer, &scratch{})
		if err != nil {
			return
		}
		if !json.Valid(answer) {
			t.Fatalf("%q was taken", answer)
		}
		w := httptest.NewRecorder()
		a.write(w, "GET")
		if a.status < 200 || a.status > 599 {
			t.Fatalf("status %d", a.status)
		}
		for _, f := range a.fields {
			if hopByHop(f.name) || !validName(f.name) || !validValue(f.value) {
				t.Fatalf("header %q: %q", f.name, f.value)
			}
		}
		var want events.APIGatewayV2HTTPResponse
		if json.Unmarshal(answer, &want) != nil || want.StatusCode != a.status {
			return // looser than Go's types in places, and its keys are looser than ours
		}
		body := []byte(want.Body)
		if want.IsBase64Encoded {
			if body, err = base64.StdEncoding.DecodeString(want.Body); err != nil {
				return
			}
		}
		if got := a.body; string(got) != string(body) && !strings.Contains(want.Body, "\ufffd") && exactKeys(answer) {
			t.Errorf("%q: body %q, want %q", answer, got, body)
		}
	})
}

// exactKeys reports whether encoding/json finds an answer's members by the same
// names: it takes them in any case.
func exactKeys(answer []byte) bool {
	var m map[string]json.RawMessage
	if json.Unmarshal(answer, &m) != nil {
		return false
	}
	for k := range m {
		switch k {
		case "statusCode", "headers", "multiValueHeaders", "cookies", "body", "isBase64Encoded":
		default:
			return false
		}
	}
	return m["isBase64Encoded"] != nil && m["body"] != nil || m["isBase64Encoded"] == nil
}

func prelude(stream string, oneByte bool) (head, rest string, err error) {
	var r io.Reader = strings.NewReader(stream)
	if oneByte {
		r = iotest.OneByteReader(r)
	}
	s := &scratch{}
	h, early, err := readPrelude(r, s)
	if err != nil {
		return "", "", err
	}
	late, err := io.ReadAll(r)
	return string(h), string(early) + string(late), err
}

func TestPrelude(t *testing.T) {
	big := strings.Repeat(" ", maxPrelude)
	for _, c := range []struct{ stream, head, rest, err string }{
		{"{}" + delimiter + "body", "{}", "body", ""},
		{"{}" + delimiter, "{}", "", ""},
		{"{}" + delimiter + "\x00\x00", "{}", "\x00\x00", ""},
		{delimiter, "", "", ""},
		{big + delimiter + "x", big, "x", ""},
		{big + " " + delimiter, "", "", "the prelude of the answer is over the limit of 131072 bytes (128 KB)"},
		{big + big, "", "", "the prelude of the answer is over the limit of 131072 bytes (128 KB)"},
		{"{}", "", "", "the answer ended before its prelude did, with eight zero bytes"},
		{"", "", "", "the answer ended before its prelude did, with eight zero bytes"},
		{"{}" + delimiter[1:], "", "", "the answer ended before its prelude did, with eight zero bytes"},
		{"{}" + delimiter[1:] + "x", "", "", "the prelude of the answer does not end with eight zero bytes"},
	} {
		for _, oneByte := range []bool{false, true} {
			head, rest, err := prelude(c.stream, oneByte)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if head != c.head || rest != c.rest || text != c.err {
				t.Errorf("%.20q (by the byte: %v): %.20q %.20q %s", c.stream, oneByte, head, rest, text)
			}
		}
	}
}

func FuzzPrelude(f *testing.F) {
	f.Add([]byte("{\"statusCode\":201,\"cookies\":[\"a=b\"]}" + delimiter + "body"))
	f.Add([]byte("{}\x00\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		head, rest, err := prelude(string(stream), false)
		head1, rest1, err1 := prelude(string(stream), true)
		if head != head1 || rest != rest1 || fmt.Sprint(err) != fmt.Sprint(err1) {
			t.Fatalf("%q depends on how it comes: %q %q %v, %q %q %v", stream, head, rest, err, head1, rest1, err1)
		}
		if err != nil {
			return
		}
		if head+delimiter+rest != string(stream) {
			t.Fatalf("%q: %q %q", stream, head, rest)
		}
		if a, err := parsePrelude([]byte(head), &scratch{}); err == nil && (!json.Valid([]byte(head)) || a.status < 200 || a.status > 599) {
			t.Fatalf("%q was taken", head)
		}
	})
}

func TestParsePrelude(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "200 []", `{"statusCode":404,"headers":{"x-a":"1"},"cookies":["b"]}`: "404 [{X-A 1} {Set-Cookie b}]",
		`[]`:                "the prelude of the answer is not a JSON object: byte 0 is '[', where an object should be",
		``:                  "the prelude of the answer is not a JSON object: it ends at byte 0, where an object should be",
		`{"body":"x"}`:      "the prelude of the answer has a body: it has to follow the prelude, after eight zero bytes",
		`{"statusCode":99}`: "the answer's statusCode is 99: it has to be a whole number from 200 to 599",
	} {
		a, err := parsePrelude([]byte(text), &scratch{})
		got := fmt.Sprint(a.status, " ", a.fields)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
