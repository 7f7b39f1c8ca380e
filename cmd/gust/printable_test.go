package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"
)

// evil steers a terminal in all ways that printable knows of.
const evil = "\x1b]0;title\a\x1b[2J\u009b2J\x7f\b\u202eback\u2066\u2069\xff"

// obeyed are the bytes of s that a screen would obey, but for ends of lines.
func obeyed(s string) string {
	return strings.Map(func(r rune) rune {
		if steersLines(r) {
			return r
		}
		return -1
	}, s)
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string][2]string{ // of a line, of JSON
		"plain, ä, \u200f and\ttab":  {"plain, ä, \u200f and\ttab", "plain, ä, \u200f and\ttab"},
		"\x1b[2Jgone":                {`\x1b[2Jgone`, `\u001b[2Jgone`},
		"a\rb\x00\u009b\x7f":         {`a\x0db\x00\x9b\x7f`, `a\u000db\u0000\u009b\u007f`},
		"two\r\nlines\n":             {`two\x0d\x0alines\x0a`, "two\nlines\n"},
		"\u202ab\u202ec\u2069\u206a": {`\u202ab\u202ec\u2069` + "\u206a", `\u202ab\u202ec\u2069` + "\u206a"},
		"\x9b2J":                     {"\ufffd2J", "\ufffd2J"},
	} {
		if got := [2]string{printable(in), printableJSON(in)}; got != want {
			t.Errorf("%q is printed as %q, want %q", in, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add(evil)
	f.Fuzz(func(t *testing.T, s string) {
		if got := printable(s); obeyed(got) != "" || strings.Contains(got, "\n") {
			t.Errorf("%q is printed as %q", s, got)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var was, is string
		shown := printableJSON(string(text))
		if err := errors.Join(json.Unmarshal(text, &was), json.Unmarshal([]byte(shown), &is)); err != nil || was != is || obeyed(shown) != "" {
			t.Errorf("%s is printed as %s, which means %q, %v", text, shown, is, err)
		}
	})
}

// An answer is printed as it comes. A screen does not obey it, and whoever reads
// a file or a pipe gets every byte.
func TestAnswer(t *testing.T) {
	const text = "{\r\n \"ä\": 1}\r" + evil + "\n\r"
	for _, screen := range []bool{true, false} {
		var b bytes.Buffer
		out := newTerminal(&b)
		out.screen = screen
		if err := out.answer(iotest.OneByteReader(strings.NewReader(text))); err != nil {
			t.Fatal(err)
		}
		want := text
		if screen {
			want = "{\n \"ä\": 1}" + `\x0d\x1b]0;title\x07\x1b[2J\x9b2J\x7f\x08\u202eback\u2066\u2069` + "\ufffd\n" + `\x0d`
		}
		if b.String() != want {
			t.Errorf("on a screen (%v) %q, want %q", screen, &b, want)
		}
		broken := errors.New("broken")
		if err := out.answer(iotest.ErrReader(broken)); err != broken {
			t.Errorf("on a screen (%v): %v, want the reader's error", screen, err)
		}
	}
}

// Nothing that a node answers steers the screen, whichever command asks: names,
// documents, records, errors and JSON.
func TestNoAnswerSteersTheScreen(t *testing.T) {
	at := time.Unix(0, 0).UTC()
	doc := url.PathEscape(`{"Statement": {"Effect": "Allow", "Principal": {"AWS": "` + "\u009b\u202e" + `"},` + "\r\n" + `"Condition": {"StringEquals": {"a": "` + "\u009b\u202e" + `"}}}}`)
	named := map[string]any{
		"UserName": evil, "RoleName": evil, "GroupName": evil, "Arn": "arn:" + evil, "Description": evil, "CreateDate": 0,
		"AssumeRolePolicyDocument": doc, "Document": doc, "PolicyDocument": doc, "PolicyName": evil, "VersionId": evil, "DefaultVersionId": evil,
		"AccessKeyId": evil, "SecretAccessKey": evil, "Status": evil, "Path": "/", "Key": evil, "Value": evil, "PolicyArn": "arn:/" + evil,
	}
	for _, list := range []string{"UserPolicyList", "RolePolicyList", "GroupPolicyList", "AttachedManagedPolicies", "Tags", "InstanceProfileList"} {
		named[list] = []any{map[string]any{"PolicyName": evil, "PolicyDocument": doc, "PolicyArn": "arn:/" + evil, "Key": evil, "Value": evil}}
	}
	named["GroupList"] = []string{evil}
	answers := map[string]any{ // by operation, or by path
		"/v1/whoami":       api.Identity{ARN: evil, Kind: "user", Account: evil, Region: evil, KeyID: evil},
		"/v1/status":       api.Status{Warnings: []string{evil}, HTTP: evil},
		"/v1/apps":         map[string]any{"Apps": []api.App{{Name: evil}}},
		"/v1/functions":    map[string]any{"Functions": []*gust.Function{{Name: evil, App: evil, Runtime: gust.Runtime(evil)}}},
		"/v1/environments": map[string]any{"Environments": []map[string]any{{"id": evil, "function": evil, "state": evil}}},
		"/v1/logs":         observe.Record{Kind: observe.KindLine, Time: at, Function: evil, RequestID: evil, Message: evil},
		"/v1/audit":        api.AuditPage{Records: []*audit.Record{{Time: at, Principal: evil, Action: evil, Resources: []string{evil}, Code: evil, Reason: evil, Source: evil, Result: audit.Result(evil)}}},
		"/v1/explain":      api.Explanation{Question: api.Question{Principal: evil, Action: evil, Resource: evil}, Explanation: policy.Explanation{Decision: policy.Decision{Layer: policy.LayerIdentity, Allowed: true, Statement: evil, Policy: evil}, Statements: []policy.Considered{{Policy: evil, Statement: evil, Effect: evil, Why: evil, Matched: true}}}},
		"/v1/audit/verify": map[string]any{"records": 1, "head": evil, "problems": []map[string]any{{"record": 1, "text": evil}}},
		"/v1/runtimes":     map[string]any{"Runtimes": []map[string]any{{"name": evil, "version": evil, "source": evil, "functions": []string{evil}}}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		answer, ok := answers[strings.TrimSuffix(r.URL.Path, "/")]
		switch {
		case operation != "":
			answer = map[string]any{
				"User": named, "Role": named, "Group": named, "Policy": named, "PolicyVersion": named,
				"Users": []any{named}, "Roles": []any{named}, "Groups": []any{named}, "Policies": []any{named}, "AccessKeyMetadata": []any{named}, "AccessKey": named,
				"UserDetailList": []any{named}, "RoleDetailList": []any{named}, "GroupDetailList": []any{named},
			}
		case strings.HasSuffix(r.URL.Path, "/invocations"):
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			fmt.Fprint(w, evil)
			return
		case !ok:
			w.WriteHeader(http.StatusTeapot)
			answer = map[string]any{"error": map[string]any{"code": "invalid", "message": evil + "\n" + evil}}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	t.Setenv("GUST_KEY", "AKIAANN.secret")
	t.Setenv("GUST_API", server.URL)
	for _, line := range []string{
		"whoami", "ls", "logs", "audit", "audit verify", "runtime ls", "invoke f", "env", "rm shop",
		"user ls", "user show ann", "role ls", "role show r", "group ls", "group show g", "policy ls", "policy show " + "arn:aws:iam::aws:policy/x",
		"key ls ann", "key add ann", "policy explain user:ann lambda:InvokeFunction function:f --all",
	} {
		for _, asJSON := range []bool{false, true} {
			args := strings.Fields(line)
			if asJSON {
				args = append(args, "--json")
			}
			var out, errs bytes.Buffer
			status := run(args, strings.NewReader(""), &out, &errs)
			said := out.String() + errs.String()
			if status == exitUsage && !asJSON || len(said) == 0 {
				t.Errorf("gust %s: status %d, %s", line, status, said)
			}
			if found := obeyed(said); found != "" {
				t.Errorf("gust %s (JSON: %v) prints %q:\n%q", line, asJSON, found, said)
			}
		}
	}
}
