package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/access/policy"
)

func TestExplain(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	const doc = `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "lambda:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
		{"Sid": "Never", "Effect": "Deny", "Action": "lambda:DeleteFunction", "Resource": "*"}]}`
	if _, err := f.directory.CreateUser(ctx, identity.NewEntity{Name: "eve", Path: "/staff/"}); err != nil {
		t.Fatal(err)
	}
	if err := f.directory.PutInline(ctx, identity.User("eve"), "p", doc); err != nil {
		t.Fatal(err)
	}
	const eve = "arn:aws:iam::000000000000:user/staff/eve"
	secure := map[string][]string{"aws:SecureTransport": {"true"}}
	for _, c := range []struct {
		q         Question
		decision  policy.Decision
		reason    string
		statement int // the deciding one
	}{
		{Question{"user/eve", "lambda:InvokeFunction", fnAPI, secure}, policy.Decision{Allowed: true, Layer: "identity", Policy: "inline policy p of user eve", Statement: "#1"}, "", 0},
		{Question{eve, "lambda:DeleteFunction", fnAPI, secure}, policy.Decision{Denied: true, Layer: "identity", Policy: "inline policy p of user eve", Statement: "Never"},
			"with an explicit deny in an identity-based policy", 1},
		{Question{"user/eve", "lambda:InvokeFunction", fnAPI, nil}, policy.Decision{Layer: "identity"}, "because no identity-based policy allows the lambda:InvokeFunction action", -1},
		{Question{"root", "iam:CreateUser", "*", nil}, policy.Decision{Allowed: true, Layer: "identity"}, "", -1},
	} {
		e, err := f.client.Explain(ctx, &c.q)
		if err != nil {
			t.Errorf("%+v: %v", c.q, err)
			continue
		}
		if e.Decision != c.decision || e.Reason != c.reason {
			t.Errorf("%+v is %+v, %q", c.q, e.Decision, e.Reason)
		}
		for i, s := range e.Statements {
			if s.Deciding != (i == c.statement) || s.Line != i+2 {
				t.Errorf("%+v: statement %d is %+v", c.q, i, s)
			}
		}
		if c.q.Principal == "user/eve" && e.Principal != eve {
			t.Errorf("the principal of %+v is %s", c.q, e.Principal)
		}
	}
	for _, c := range []struct {
		q      Question
		status int
		text   string
	}{
		{Question{"eve", "lambda:InvokeFunction", "*", nil}, 400, "want root, user/NAME"},
		{Question{"user/eva", "lambda:InvokeFunction", "*", nil}, 404, `there is no user "eva"`},
		{Question{"arn:aws:iam::000000000000:role/eva", "lambda:InvokeFunction", "*", nil}, 404, `there is no user or role "arn:`},
		{Question{"user/eve", "lambda:InvokeFunctoin", "*", nil}, 400, "no action of lambda"},
		{Question{"user/eve", "lambda:Invok", "*", nil}, 400, "did you mean lambda:InvokeFunction?"},
		{Question{"user/eve", "lambda:*", "*", nil}, 400, "is a pattern"},
		{Question{"user/eve", "", "*", nil}, 400, "the action"},
		{Question{"user/eve", "lambda:InvokeFunction", "api", nil}, 400, "want an ARN"},
	} {
		var e *Error
		if _, err := f.client.Explain(ctx, &c.q); !errors.As(err, &e) || e.Status != c.status || !strings.Contains(e.Message, c.text) {
			t.Errorf("%+v: %v", c.q, err)
		}
	}
	// Who may not ask about somebody does not learn whether they are there.
	f.keys.may("ann", "gust:ExplainAccess "+eve)
	if _, err := f.as("ann").Explain(ctx, &Question{"user/eve", "lambda:InvokeFunction", "*", nil}); err != nil {
		t.Error(err)
	}
	for _, who := range []string{"root", "user/eva", "arn:aws:iam::000000000000:user/eva"} {
		var e *Error
		if _, err := f.as("ann").Explain(ctx, &Question{who, "lambda:InvokeFunction", "*", nil}); !errors.As(err, &e) || e.Code != CodeDenied {
			t.Errorf("%s: %v", who, err)
		}
	}
}

func TestRevoke(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	e, err := f.directory.CreateUser(ctx, identity.NewEntity{Name: "eve"})
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := f.directory.CreateKey(ctx, e.Name)
	if err != nil {
		t.Fatal(err)
	}
	own, err := f.directory.Lookup(k.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.directory.SessionToken(&access.Caller{Credential: own, At: time.Now()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.directory.Lookup(s.KeyID, s.Token); err != nil {
		t.Fatal(err)
	}
	if err := f.client.RevokeUser(ctx, "eve"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.directory.Lookup(s.KeyID, s.Token); err == nil {
		t.Error("a session that was revoked is let in")
	}
	if _, err := f.directory.Lookup(k.ID, ""); err != nil {
		t.Errorf("the user's key went with its sessions: %v", err)
	}
	if err := f.client.RevokeRole(ctx, "eve"); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("a role that is not there: %v", err)
	}
	if f.replaced != "" {
		t.Errorf("the environments of %q were replaced", f.replaced)
	}
}

// AWS's APIs are asked with the key as a bearer token, lists are read to their
// end, and errors are told as Gust's own.
func TestAWS(t *testing.T) {
	pages := []string{`{"Users":[{"UserName":"ann"},{"UserName":"bob"}],"IsTruncated":true,"Marker":"bob"}`, `{"Users":[{"UserName":"eve"}],"IsTruncated":false}`}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.Path != "/" || r.Header.Get("Authorization") != "Bearer AKIAANN.secret" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		switch r.Header.Get("X-Amz-Target") {
		case "iam.ListUsers":
			_, _ = w.Write([]byte(pages[asked]))
			asked++
		default:
			w.Header().Set("X-Amzn-Errortype", "NoSuchEntityException")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"__type":"NoSuchEntityException","message":"The user with name eve cannot be found."}`))
		}
	}))
	defer server.Close()
	c, err := NewClient(server.URL, &access.Key{ID: "AKIAANN", Secret: "secret"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := List[struct{ UserName string }](t.Context(), c, "ListUsers", "Users", nil)
	if err != nil || len(list) != 3 || list[2].UserName != "eve" {
		t.Errorf("%v, %v", list, err)
	}
	var e *Error
	if err := c.AWS(t.Context(), "iam", "GetUser", Params{"UserName": "eve"}, nil); !errors.As(err, &e) || e.Code != "NoSuchEntityException" || e.Error() != "the user with name eve cannot be found" {
		t.Error(err)
	}
}
