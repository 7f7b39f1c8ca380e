package lambda

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// TestPermissions: a function's policy lets somebody in who has no rights of
// their own, from AddPermission until RemovePermission.
func TestPermissions(t *testing.T) {
	door := wiretest.New(t)
	functions := shop()
	dir, err := identity.Open(t.Context(), door.Store, identity.Options{Place: place, Root: &wiretest.Key,
		Functions: func() map[string]*gust.Function { return functions.snapshot.Functions }})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close() //nolint:errcheck // the store is the test's
	if _, err := dir.CreateUser(t.Context(), identity.NewEntity{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	key, secret, err := dir.CreateKey(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	h, err := wire.New(wire.Options{
		Services: []*wire.Service{New(Options{Catalog: functions, Invoker: answer(`1`), Directory: dir, Place: place})},
		Guard:    guard.New(access.New(dir, access.Options{Region: place.Region}), dir, door.Log, nil), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, target, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(method, target, body))
		return w
	}
	invoke := func(function string) int {
		r := request("POST", "/2015-03-31/functions/"+function+"/invocations", "{}")
		r.Header.Set("Authorization", "Bearer "+key.ID+"."+secret)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusForbidden && (w.Header().Get("x-amzn-ErrorType") != "AccessDeniedException" ||
			!strings.Contains(w.Body.String(), "user/alice is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda:eu-central-1:123456789012:function:"+function)) {
			t.Error(w.Header(), w.Body)
		}
		return w.Code
	}
	const policy = "/2015-03-31/functions/hello/policy"
	const body = `{"StatementId":"s1","Action":"lambda:InvokeFunction","Principal":"arn:aws:iam::123456789012:user/alice"}`
	for _, function := range []string{"hello", "thumbs", "none"} {
		if got := invoke(function); got != http.StatusForbidden {
			t.Errorf("before, %s: %d", function, got)
		}
	}
	if w := ask("GET", policy, ""); w.Code != 404 {
		t.Error(w.Code, w.Body)
	}
	w := ask("POST", policy, body)
	var added struct{ Statement string }
	if err := json.Unmarshal(w.Body.Bytes(), &added); err != nil || w.Code != 201 {
		t.Fatal(w.Code, w.Body, err)
	}
	const statement = `{"Sid":"s1","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/alice"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:eu-central-1:123456789012:function:hello"}`
	if added.Statement != statement {
		t.Error(added.Statement)
	}
	recorded := false
	for r, err := range door.Log.Read(t.Context(), audit.Filter{Action: "lambda:AddPermission"}) {
		if err != nil {
			t.Fatal(err)
		}
		recorded = fmt.Sprint(r.Parameters) == "map[Action:lambda:InvokeFunction FunctionName:hello Principal:arn:aws:iam::123456789012:user/alice StatementId:s1]"
	}
	if !recorded {
		t.Error("the audit log does not say who may what from now on")
	}
	if hello, other := invoke("hello"), invoke("thumbs"); hello != 200 || other != 403 {
		t.Error(hello, other)
	}
	if w := ask("POST", policy, body); w.Code != 409 || !strings.Contains(w.Body.String(), "The statement id (s1) provided already exists.") {
		t.Error(w.Code, w.Body)
	}
	var got struct{ Policy, RevisionID string }
	w = ask("GET", policy, "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || !same(got.Policy, `{"Version":"2012-10-17","Id":"default","Statement":[`+statement+`]}`) {
		t.Fatal(w.Body, err)
	}
	if w := ask("POST", policy, `{"StatementId":"s2","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com","SourceAccount":"123456789012","SourceArn":"arn:aws:s3:::b","RevisionId":"`+got.RevisionID+`"}`); w.Code != 201 ||
		!strings.Contains(w.Body.String(), `\"Condition\":{\"ArnLike\":{\"AWS:SourceArn\":\"arn:aws:s3:::b\"},\"StringEquals\":{\"AWS:SourceAccount\":\"123456789012\"}}`) {
		t.Error(w.Code, w.Body)
	}
	if w := ask("DELETE", policy+"/s1?RevisionId="+got.RevisionID, ""); w.Code != 412 {
		t.Error("an old revision:", w.Code, w.Body)
	}
	if w := ask("DELETE", policy+"/s1", ""); w.Code != 204 || w.Body.Len() > 0 {
		t.Error(w.Code, w.Body)
	}
	if got := invoke("hello"); got != 403 {
		t.Error("after:", got)
	}
	if w := ask("DELETE", policy+"/s1", ""); w.Code != 404 {
		t.Error(w.Code, w.Body)
	}
	long := `{"StatementId":"%d","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com","SourceArn":"arn:aws:s3:::` + strings.Repeat("b", 1900) + `"}`
	for i := range 12 {
		w := ask("POST", policy, fmt.Sprintf(long, i))
		if i < 10 && w.Code == 201 {
			continue
		}
		if w.Code != 400 || w.Header().Get("x-amzn-ErrorType") != "PolicyLengthExceededException" || !strings.Contains(w.Body.String(), "20480") {
			t.Error("a policy that is too long:", i, w.Code, w.Header(), w.Body)
		}
		break
	}
	for doc, want := range map[string]string{
		`{"StatementId":"s3","Action":"lambda:InvokeFunction","Principal":"*","FunctionUrlAuthType":"NONE"}`:        "FunctionUrlAuthType is not carried out by Gust",
		`{"StatementId":"s3","Action":"lambda:InvokeFunction"}`:                                                     "1 validation error detected: Value null at 'principal' failed to satisfy constraint: Member must not be null",
		`{"StatementId":"s 3","Action":"x","Principal":"*"}`:                                                        "2 validation errors detected: Value 's 3' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+); Value 'x' at 'action'",
		`{"StatementId":"s3","Action":"lambda:InvokeFunction","Principal":"arn:aws:iam::123456789012:user/nobody"}`: "nobody",
		`{"StatementId":"s3","Action":"lambda:InvokeFunction","Principal":"*","Colour":"red"}`:                      `the member \"Colour\" is not known to Gust`,
	} {
		if w := ask("POST", policy, doc); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", doc, w.Code, w.Body)
		}
	}
}
