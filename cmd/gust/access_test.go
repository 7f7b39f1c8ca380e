package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/api"

	gust "github.com/gust-dev/gust"
)

// Whom --trust names is whom the document names, and IAM takes it.
func TestTrustDocument(t *testing.T) {
	const account = "arn:aws:iam::000000000000:"
	for _, c := range []struct {
		trust, subjects, want string
		named                 []string
	}{
		{trust: "user:ann", named: []string{account + "user/ann"}},
		{trust: "role:ci", named: []string{account + "role/ci"}},
		{trust: "function:api", named: []string{account + "role/gust/fn.api"}},
		{trust: "account", named: []string{account + "root"}},
		{trust: "service:lambda", named: []string{"lambda.amazonaws.com"}},
		{trust: "service:lambda.amazonaws.com user:ann", named: []string{account + "user/ann", "lambda.amazonaws.com"}},
		{trust: "arn:aws:iam::111122223333:root", named: []string{"arn:aws:iam::111122223333:root"}},
		{trust: "oidc:https://ci.example.com/acme/ user:ann", subjects: "repo:acme/shop:*",
			named: []string{account + "oidc-provider/ci.example.com/acme", account + "user/ann", `"ci.example.com/acme:sub"`, "sts:AssumeRoleWithWebIdentity", "repo:acme/shop:*"}},
		{trust: "oidc:ci.example.com", want: "say whom with --subject"},
		{trust: "user:ann", subjects: "x", want: "--trust names none"},
		{trust: "ann", want: `--trust "ann" is nobody`},
		{trust: "user:", want: `--trust "user:" is nobody`},
		{trust: "queue:orders", want: "is nobody"},
		{trust: "", want: "--trust is missing"},
	} {
		doc, err := trustDocument(gust.DefaultPlace, strings.Fields(c.trust), strings.Fields(c.subjects))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: %v, want %q", c.trust, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.trust, err)
			continue
		}
		if _, err := policy.Parse(policy.Trust, []byte(doc)); err != nil {
			t.Errorf("%q makes what is no trust policy: %v\n%s", c.trust, err, doc)
		}
		for _, name := range c.named {
			if !strings.Contains(doc, name) {
				t.Errorf("%q does not name %s:\n%s", c.trust, name, doc)
			}
		}
		if all := trusted(json.RawMessage(doc), "000000000000"); len(all) != len(strings.Fields(c.trust)) {
			t.Errorf("%q is shown as %q", c.trust, all)
		}
	}
}

// Whom a role trusts is listed whatever the form, each time in the same order, and
// whom it denies is not.
func TestTrusted(t *testing.T) {
	const user = `"arn:aws:iam::000000000000:user/`
	for statements, want := range map[string][]string{
		`[{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com", "AWS": [` + user + `b", ` + user + `a"]}}]`:                         {"user/b", "user/a", "lambda.amazonaws.com"},
		`[{"Effect": "Deny", "Principal": {"AWS": ` + user + `al"}}, {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}]`: {"account 123456789012"},
		`{"Effect": "Allow", "Principal": {"AWS": "123456789012"}}`:                                                                                {"account 123456789012"},
		`{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:user/al"}}`:                                                           {"arn:aws:iam::123456789012:user/al"},
		`{"Effect": "Allow", "Principal": "*"}`:                                                                                                    {"everybody"},
		`{"Effect": "Allow", "Principal": {"AWS": "*"}}`:                                                                                           {"everybody"},
		`{"Effect": "Allow", "NotPrincipal": {"AWS": [` + user + `a", ` + user + `b"]}}`:                                                           {"all but user/a and user/b"},
		`{"Effect": "Deny", "NotPrincipal": {"AWS": ` + user + `a"}}`:                                                                              nil,
		`[{"Effect": "Allow", "Principal": {"AWS": ` + user + `a"}}, {"Effect": "Allow", "Principal": {"AWS": ` + user + `a"}}]`:                   {"user/a"},
	} {
		for range 20 { // of two kinds each time another one may come first
			if got := trusted(json.RawMessage(`{"Statement": `+statements+`}`), "000000000000"); !slices.Equal(got, want) {
				t.Fatalf("%s is shown as %q, want %q", statements, got, want)
			}
		}
	}
}

func TestReferences(t *testing.T) {
	for short, want := range map[string]string{
		"*": "*", "arn:aws:s3:::b/k": "arn:aws:s3:::b/k",
		"function:api": "arn:aws:lambda:us-east-1:000000000000:function:api", "app:shop": "arn:aws:gust:us-east-1:000000000000:app/shop",
		"user:ann": "arn:aws:iam::000000000000:user/ann", "role:ci/deploy": "arn:aws:iam::000000000000:role/ci/deploy",
		"api": "", "queue:orders": "", "function:": "", "Function:api": "", "": "",
	} {
		if got, err := resourceARN(gust.DefaultPlace, short); got != want || (err == nil) != (want != "") {
			t.Errorf("resource %q is %q, %v; want %q", short, got, err, want)
		}
	}
	for short, want := range map[string]string{
		"root": "root", "user:ann": "user/ann", "role:deploy": "role/deploy", "function:api": "role/fn.api", "arn:aws:iam::1:user/x": "arn:aws:iam::1:user/x",
		"ann": "", "group:devs": "", "user:": "",
	} {
		if got, err := principal(short); got != want || (err == nil) != (want != "") {
			t.Errorf("principal %q is %q, %v; want %q", short, got, err, want)
		}
	}
}

// A user that is half made when an interrupt comes is removed again.
func TestAnInterruptLeavesNothingHalfMade(t *testing.T) {
	for _, at := range []string{"CreateUser", "AddUserToGroup"} {
		ctx, interrupt := context.WithCancelCause(t.Context())
		var asked []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
			_, _ = io.Copy(io.Discard, r.Body) // only then it is seen that the client goes
			if asked = append(asked, operation); operation == at {
				interrupt(interrupted{os.Interrupt})
			}
			if operation == "AddUserToGroup" { // it is not answered before
				<-r.Context().Done()
			}
			fmt.Fprint(w, "{}")
		}))
		client, err := api.NewClient(server.URL, &access.Key{ID: "AKIAX", Secret: "y"}, "")
		if err != nil {
			t.Fatal(err)
		}
		d := &directory{Client: client, ctx: ctx}
		err = d.make(user("ann"), user("ann").with(), func() error { return d.iam("AddUserToGroup", user("ann").with("GroupName", "devs")) })
		client.Close()
		server.Close()
		if !errors.As(err, new(interrupted)) || asked[0] != "CreateUser" || asked[len(asked)-1] != "DeleteUser" {
			t.Errorf("interrupted at %s: %v, and the node was asked for %v", at, err, asked)
		}
	}
}
