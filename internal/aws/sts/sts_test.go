package sts_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // as AWS's thumbprints are
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/awstest"
)

const arn = "arn:aws:iam::" + awstest.Account + ":"

// policy is a document of statements.
func policy(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

func allow(action, resource string) string {
	return `{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}`
}

func trusts(principal, action, condition string) string {
	return policy(`{"Effect":"Allow","Principal":` + principal + `,"Action":` + action + `,"Condition":{` + condition + `}}`)
}

func role(t *testing.T, d *awstest.Door, name, trust, may string) {
	t.Helper()
	if _, err := d.Directory.CreateRole(t.Context(), identity.NewEntity{Name: name, Trust: trust, Tags: map[string]string{"owner": "ops"}}); err != nil {
		t.Fatal(err)
	}
	if may != "" {
		if err := d.Directory.PutInline(t.Context(), identity.Role(name), "own", may); err != nil {
			t.Fatal(err)
		}
	}
}

// session is the bearer token of credentials in an answer.
func session(t *testing.T, a *awstest.Answer) string {
	t.Helper()
	if !a.Is("") {
		t.Fatal(a.Body)
	}
	return a.Text("AccessKeyId") + "." + a.Text("SecretAccessKey") + "." + a.Text("SessionToken")
}

func TestAssumeRole(t *testing.T) {
	d := awstest.Open(t)
	alice := d.User("alice", policy(allow("sts:AssumeRole", arn+"role/*")))
	bob := d.User("bob", policy(allow("sts:*", "*")))
	role(t, d, "deploy", trusts(`{"AWS":"`+arn+`user/alice"}`, `"sts:AssumeRole"`, ""), policy(allow("iam:List*", "*"), allow("iam:GetUser", "*")))
	assume := func(who string, params ...string) *awstest.Answer {
		t.Helper()
		return d.Call(who, "sts", "AssumeRole", append([]string{"RoleArn", arn + "role/deploy", "RoleSessionName", "work"}, params...)...)
	}
	a := assume(alice)
	s := session(t, a)
	if want := "arn:aws:sts::" + awstest.Account + ":assumed-role/deploy/work"; a.Text("Arn") != want || !strings.HasSuffix(a.Text("AssumedRoleId"), ":work") {
		t.Error(a.Body)
	} else if me := d.Call(s, "sts", "GetCallerIdentity"); me.Text("Arn") != want || me.Text("Account") != awstest.Account || me.Text("UserId") != a.Text("AssumedRoleId") {
		t.Error(me.Body)
	}
	expires, err := time.Parse(time.RFC3339, a.Text("Expiration"))
	if left := time.Until(expires); err != nil || left < 59*time.Minute || left > time.Hour || a.Text("PackedPolicySize") != "" {
		t.Error(a.Text("Expiration"), err)
	}
	if a := d.Call(s, "iam", "ListUsers"); !a.Is("") {
		t.Error(a.Body)
	}
	if a := d.Call(s, "iam", "CreateUser", "UserName", "x"); !a.Is("AccessDenied") ||
		a.Message != "User: arn:aws:sts::"+awstest.Account+":assumed-role/deploy/work is not authorized to perform: iam:CreateUser on resource: "+arn+"user/x because no identity-based policy allows the iam:CreateUser action" {
		t.Error(a.Body)
	}

	// A session policy narrows and never widens.
	narrow := session(t, assume(alice, "Policy", policy(allow("iam:ListUsers", "*"), allow("iam:CreateUser", "*"))))
	for call, code := range map[string]string{"ListUsers": "", "ListRoles": "AccessDenied", "CreateUser": "AccessDenied"} {
		if a := d.Call(narrow, "iam", call, map[bool][]string{true: {"UserName", "x"}}[call == "CreateUser"]...); !a.Is(code) {
			t.Errorf("%s: %s", call, a.Body)
		}
	}
	if a := assume(alice, "Policy", policy(allow("iam:ListUsers", "*"))); a.Text("PackedPolicySize") == "" {
		t.Error(a.Body)
	}

	for name, test := range map[string]struct {
		who    string
		params []string
		code   string
		text   string
	}{
		"whom the role does not trust": {bob, nil, "AccessDenied", "User: " + arn + "user/bob is not authorized to perform: sts:AssumeRole on resource: " + arn + "role/deploy"},
		"root, whom it does not trust": {d.Root, nil, "AccessDenied", "sts:AssumeRole"},
		"a role that is not there":     {alice, []string{"RoleArn", arn + "role/none"}, "AccessDenied", "sts:AssumeRole on resource: " + arn + "role/none"},
		"the role by another path":     {alice, []string{"RoleArn", arn + "role/x/../deploy"}, "AccessDenied", ""},
		"another account's":            {alice, []string{"RoleArn", "arn:aws:iam::999999999999:role/deploy"}, "AccessDenied", ""},
		"a user":                       {alice, []string{"RoleArn", arn + "user/alice"}, "AccessDenied", ""},
		"no ARN":                       {alice, []string{"RoleArn", "deploy"}, "ValidationError", "roleArn"},
		"a session name with a slash":  {alice, []string{"RoleSessionName", "a/b"}, "ValidationError", "roleSessionName"},
		"too long":                     {alice, []string{"DurationSeconds", "7200"}, "ValidationError", "the longest of role deploy"},
		"too short":                    {alice, []string{"DurationSeconds", "1"}, "ValidationError", "durationSeconds"},
		"a policy that is none":        {alice, []string{"Policy", "{"}, "MalformedPolicyDocument", "session policy"},
		"a policy that is too large":   {alice, []string{"Policy", policy(slices.Repeat([]string{allow("s3:GetObject", "*")}, 60)...)}, "PackedPolicyTooLarge", "2048"},
		"a policy's ARN of nothing":    {alice, []string{"PolicyArns.member.1.arn", arn + "policy/none"}, "ValidationError", "policy/none"},
		"tags, which take a right":     {bob, []string{"Tags.member.1.Key", "a", "Tags.member.1.Value", "b"}, "AccessDenied", ""},
		"the same tag twice":           {alice, []string{"Tags.member.1.Key", "a", "Tags.member.1.Value", "1", "Tags.member.2.Key", "A", "Tags.member.2.Value", "2"}, "ValidationError", "Duplicate tag keys"},
		"a second factor":              {alice, []string{"SerialNumber", "arn:aws:iam::1:mfa/x", "TokenCode", "123456"}, "AccessDenied", "unable to validate MFA code"},
		"half a second factor":         {alice, []string{"TokenCode", "123456"}, "AccessDenied", "must provide both MFA serial number and one time pass code"},
		"a member that nobody knows":   {alice, []string{"Colour", "blue"}, "ValidationError", "Colour"},
		"a source identity of AWS's":   {alice, []string{"SourceIdentity", "aws:me"}, "ValidationError", ""},
		"a source identity, no right":  {alice, []string{"SourceIdentity", "me"}, "AccessDenied", "sts:SetSourceIdentity"},
		"nobody":                       {"", nil, "MissingAuthenticationToken", ""},
	} {
		if a := assume(test.who, test.params...); !a.Is(test.code) || !strings.Contains(a.Message, test.text) {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	denied := 0
	for r, err := range d.Log.Read(t.Context(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Action == "sts:AssumeRole" && r.Result == audit.Denied && r.Principal == arn+"user/bob" {
			denied++
		}
	}
	if denied == 0 {
		t.Error("the audit log has no denial of who may not assume the role")
	}
}

// TestConfusedDeputy: who acts for others assumes the role for whom it was told
// to, and for nobody else.
func TestConfusedDeputy(t *testing.T) {
	d := awstest.Open(t)
	deputy := d.User("deputy", policy(allow("sts:AssumeRole", "*")))
	role(t, d, "customer1", trusts(`{"AWS":"`+arn+`user/deputy"}`, `"sts:AssumeRole"`, `"StringEquals":{"sts:ExternalId":"customer-1"}`), "")
	for external, code := range map[string]string{"customer-1": "", "customer-2": "AccessDenied", "": "AccessDenied", "customer-1x": "AccessDenied", "CUSTOMER-1": "AccessDenied"} {
		params := []string{"RoleArn", arn + "role/customer1", "RoleSessionName", "for-somebody"}
		if external != "" {
			params = append(params, "ExternalId", external)
		}
		if a := d.Call(deputy, "sts", "AssumeRole", params...); !a.Is(code) {
			t.Errorf("%q: %s", external, a.Body)
		}
	}
}

// TestChains: tags that go on and the source identity stay, a chain is short, and
// nobody takes another name on the way.
func TestChains(t *testing.T) {
	d := awstest.Open(t)
	all := `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`
	alice := d.User("alice", policy(allow("sts:*", "*")))
	role(t, d, "first", trusts(`{"AWS":"`+arn+`user/alice"}`, all, ""), policy(allow("sts:*", "*")))
	role(t, d, "second", trusts(`{"AWS":"`+arn+`role/first"}`, all, `"StringEquals":{"aws:RequestTag/project":"x","sts:SourceIdentity":"alice"}`), policy(
		`{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/project":"x","aws:SourceIdentity":"alice"}}}`))
	first := d.Call(alice, "sts", "AssumeRole", "RoleArn", arn+"role/first", "RoleSessionName", "one", "SourceIdentity", "alice",
		"Tags.member.1.Key", "project", "Tags.member.1.Value", "x", "Tags.member.2.Key", "stays", "Tags.member.2.Value", "y", "TransitiveTagKeys.member.1", "project")
	if first.Text("SourceIdentity") != "alice" {
		t.Error(first.Body)
	}
	one := session(t, first)
	params := []string{"RoleArn", arn + "role/second", "RoleSessionName", "two"}
	two := d.Call(one, "sts", "AssumeRole", params...)
	if a := d.Call(session(t, two), "iam", "ListUsers"); !a.Is("") || two.Text("SourceIdentity") != "alice" {
		t.Error(a.Body, two.Body)
	}
	for name, more := range map[string][]string{
		"another source identity":       {"SourceIdentity", "root"},
		"another value of what goes on": {"Tags.member.1.Key", "Project", "Tags.member.1.Value", "z"},
		"longer than a chain may be":    {"DurationSeconds", "7200"},
	} {
		if a := d.Call(one, "sts", "AssumeRole", append(params, more...)...); a.Is("") {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	// That a role's trust allows it changes nothing. What the directory denies by
	// itself is a denial like others, on record once.
	role(t, d, "third", trusts(`{"AWS":"`+arn+`role/first"}`, all, ""), "")
	if a := d.Call(one, "sts", "AssumeRole", "RoleArn", arn+"role/third", "RoleSessionName", "three", "SourceIdentity", "root"); !a.Is("AccessDenied") {
		t.Error(a.Body)
	}
	denials := 0
	for r, err := range d.Log.Read(t.Context(), audit.Filter{Principal: first.Text("Arn")}) {
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(r.Resources, arn+"role/third") {
			continue
		}
		if denials++; r.Result != audit.Denied || r.Reason != "because no resource-based policy allows the sts:AssumeRole action" {
			t.Errorf("%+v", r)
		}
	}
	if denials != 1 {
		t.Errorf("%d records of one denial", denials)
	}
}

func TestSessionToken(t *testing.T) {
	d := awstest.Open(t)
	alice := d.User("alice", policy(allow("*", "*")))
	a := d.Call(alice, "sts", "GetSessionToken", "DurationSeconds", "900")
	s := session(t, a)
	if me := d.Call(s, "sts", "GetCallerIdentity"); me.Text("Arn") != arn+"user/alice" {
		t.Error(me.Body)
	}
	if a := d.Call(s, "sts", "GetSessionToken"); !a.Is("AccessDenied") || !strings.Contains(a.Message, "the rules for sessions of GetSessionToken") {
		t.Error(a.Body)
	}
	if a := d.Call(s, "iam", "CreateAccessKey"); !a.Is("AccessDenied") {
		t.Error("a session makes itself a key: " + a.Body)
	}
	if a := d.Call(alice, "sts", "GetSessionToken", "DurationSeconds", "129601"); !a.Is("ValidationError") {
		t.Error(a.Body)
	}
	if a := d.Call(alice, "sts", "GetAccessKeyInfo", "AccessKeyId", strings.Split(alice, ".")[0]); a.Text("Account") != awstest.Account {
		t.Error(a.Body)
	}
	if a := d.Call(alice, "sts", "GetAccessKeyInfo", "AccessKeyId", "AKIAAAAAAAAAAAAAAAAA"); !a.Is("ValidationError") {
		t.Error(a.Body)
	}
	for _, op := range []string{"AssumeRoleWithSAML", "DecodeAuthorizationMessage", "GetFederationToken", "AssumeRoot"} {
		if a := d.Call(alice, "sts", op); !a.Is("InvalidAction") || !strings.Contains(a.Message, op+" is not carried out by Gust: ") {
			t.Error(a.Body)
		}
	}
	// The sessions end with the key that they were begun with.
	if err := d.Directory.SetKeyActive(t.Context(), "alice", strings.Split(alice, ".")[0], false); err != nil {
		t.Fatal(err)
	}
	if a := d.Call(s, "sts", "GetCallerIdentity"); !a.Is("InvalidClientTokenId") {
		t.Error(a.Body)
	}
}

// What is taken away while a request is held back counts for it: whoever is locked
// out gets no credentials from calls that they had begun.
func TestCallsThatWereBegunBefore(t *testing.T) {
	for _, way := range []struct {
		name, code string
		take       func(d *awstest.Door, keyID string) error
	}{
		{"the key is not active", "InvalidClientTokenId", func(d *awstest.Door, keyID string) error {
			return d.Directory.SetKeyActive(t.Context(), "eve", keyID, false)
		}},
		{"the key is deleted", "InvalidClientTokenId", func(d *awstest.Door, keyID string) error {
			return d.Directory.DeleteKey(t.Context(), "eve", keyID)
		}},
		{"the rights are", "AccessDenied", func(d *awstest.Door, _ string) error {
			return d.Directory.DeleteInline(t.Context(), identity.User("eve"), "own")
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			d := awstest.Open(t)
			role(t, d, "ops", trusts(`{"AWS":"`+awstest.Account+`"}`, `"sts:AssumeRole"`, ""), "")
			eve := d.User("eve", policy(allow("sts:AssumeRole", arn+"role/ops"), allow("iam:CreateAccessKey", arn+"user/eve")))
			keyID, _, _ := strings.Cut(eve, ".")
			calls := map[string]func() *awstest.Answer{
				"iam:CreateAccessKey": d.Begin(eve, "iam", "CreateAccessKey"),
				"sts:AssumeRole":      d.Begin(eve, "sts", "AssumeRole", "RoleArn", arn+"role/ops", "RoleSessionName", "late"),
			}
			if way.code != "AccessDenied" { // it takes no right
				calls["sts:GetSessionToken"] = d.Begin(eve, "sts", "GetSessionToken")
			}
			if err := way.take(d, keyID); err != nil {
				t.Fatal(err)
			}
			for operation, finish := range calls {
				if a := finish(); !a.Is(way.code) {
					t.Errorf("%s: %d %s", operation, a.Status, a.Body)
				}
			}
			if keys, err := d.Directory.Keys("eve"); err != nil || len(keys) > 1 {
				t.Errorf("%d keys, %v", len(keys), err)
			}
		})
	}
}

// TestFunctionsRolesAreTheirOwn: nobody assumes one, root neither.
func TestFunctionsRolesAreTheirOwn(t *testing.T) {
	d := awstest.Open(t, &gust.Function{Name: "worker", App: "shop"})
	alice := d.User("alice", policy(allow("*", "*")))
	for _, who := range []string{alice, d.Root} {
		if a := d.Call(who, "sts", "AssumeRole", "RoleArn", arn+"role/gust/fn.worker", "RoleSessionName", "me"); !a.Is("AccessDenied") {
			t.Error(a.Body)
		}
	}
	s, err := d.Directory.FunctionSession("worker", "env-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Call(s.KeyID+"."+s.Secret+"."+s.Token, "sts", "GetCallerIdentity"); a.Text("Arn") != "arn:aws:sts::"+awstest.Account+":assumed-role/fn.worker/env-1" {
		t.Error(a.Body)
	}
}

// issuer is an OpenID Connect issuer, a provider of the node's.
type issuer struct {
	*httptest.Server
	t   *testing.T
	key *ecdsa.PrivateKey
	url string // without its scheme
}

func newIssuer(t *testing.T, d *awstest.Door, start func(http.Handler) *httptest.Server) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	is := &issuer{t: t, key: key}
	is.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/openid-configuration" {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, is.URL, is.URL+"/keys")
			return
		}
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}}) //nolint:errcheck // the test sees
	}))
	t.Cleanup(is.Close)
	_, is.url, _ = strings.Cut(is.URL, "://")
	params := []string{"Url", is.URL, "ClientIDList.member.1", "app"}
	if c := is.Certificate(); c != nil {
		sum := sha1.Sum(c.Raw) //nolint:gosec // as AWS's thumbprints are
		params = append(params, "ThumbprintList.member.1", hex.EncodeToString(sum[:]))
	}
	if a := d.Call(d.Root, "iam", "CreateOpenIDConnectProvider", params...); !a.Is("") {
		t.Fatal(a.Body)
	}
	return is
}

// token is a good one, but for what is changed.
func (is *issuer) token(key *ecdsa.PrivateKey, change map[string]any) string {
	is.t.Helper()
	claims := map[string]any{"iss": is.URL, "sub": "repo:me", "aud": "app", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, change)
	doc, err := json.Marshal(claims)
	if err != nil {
		is.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		is.t.Fatal(err)
	}
	jws, err := signer.Sign(doc)
	if err != nil {
		is.t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		is.t.Fatal(err)
	}
	return raw
}

func TestWebIdentity(t *testing.T) {
	d := awstest.Open(t)
	is := newIssuer(t, d, httptest.NewTLSServer)
	role(t, d, "ci", trusts(`{"Federated":"`+arn+`oidc-provider/`+is.url+`"}`, `["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]`,
		`"StringEquals":{"`+is.url+`:aud":"app"},"StringLike":{"`+is.url+`:sub":"repo:me*"}`), policy(
		`{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/branch":"main"}}}`))
	role(t, d, "users", trusts(`{"AWS":"`+arn+`root"}`, `"sts:AssumeRole"`, ""), "")
	assume := func(token string, params ...string) *awstest.Answer {
		t.Helper()
		return d.Call("", "sts", "AssumeRoleWithWebIdentity", append([]string{"RoleArn", arn + "role/ci", "RoleSessionName", "build", "WebIdentityToken", token}, params...)...)
	}
	a := assume(is.token(is.key, map[string]any{"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"branch": []string{"main"}}}}))
	s := session(t, a)
	if a.Text("SubjectFromWebIdentityToken") != "repo:me" || a.Text("Audience") != "app" || a.Text("Provider") != arn+"oidc-provider/"+is.url || !strings.HasSuffix(a.Text("Arn"), ":assumed-role/ci/build") {
		t.Error(a.Body)
	}
	if a := d.Call(s, "iam", "ListUsers"); !a.Is("") {
		t.Error(a.Body)
	}
	plain := session(t, assume(is.token(is.key, nil)))
	if a := d.Call(plain, "iam", "ListUsers"); !a.Is("AccessDenied") {
		t.Error("a session without the tag: " + a.Body)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		token  string
		params []string
		code   string
		text   string
	}{
		"forged":                          {is.token(other, nil), nil, "InvalidIdentityToken", "signature"},
		"expired":                         {is.token(is.key, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), nil, "ExpiredTokenException", "Token expired: current date/time"},
		"of another's issuer":             {is.token(is.key, map[string]any{"iss": "https://else.example.com"}), nil, "InvalidIdentityToken", "https://else.example.com"},
		"for somebody else":               {is.token(is.key, map[string]any{"aud": "other"}), nil, "InvalidIdentityToken", "audience"},
		"of whom the role does not trust": {is.token(is.key, map[string]any{"sub": "repo:you"}), nil, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		"for a role of users":             {is.token(is.key, nil), []string{"RoleArn", arn + "role/users"}, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		"for no role":                     {is.token(is.key, nil), []string{"RoleArn", arn + "role/none"}, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		"with two claims of one key":      {is.token(is.key, map[string]any{"role": "dev", "Role": "admin"}), nil, "InvalidIdentityToken", `claims "Role" and "role" are one condition key`},
		"with a ProviderId":               {is.token(is.key, nil), []string{"ProviderId", "www.amazon.com"}, "ValidationError", "ProviderId is not carried out"},
		"an own source of truth":          {is.token(is.key, map[string]any{"https://aws.amazon.com/source_identity": "aws:x"}), nil, "ValidationError", ""},
		"no token":                        {"a.b.c", nil, "InvalidIdentityToken", "not a valid JWT"},
	} {
		if a := assume(test.token, test.params...); !a.Is(test.code) || !strings.Contains(a.Message, test.text) {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	// Nobody else comes in without a credential.
	for _, op := range []string{"AssumeRole", "GetCallerIdentity", "GetSessionToken"} {
		if a := d.Call("", "sts", op, "RoleArn", arn+"role/ci", "RoleSessionName", "x1"); !a.Is("MissingAuthenticationToken") {
			t.Error(op, a.Body)
		}
	}
}

// Nobody pushes anything out of the audit log by making sessions upon sessions: not
// a web identity, nor a user who may nothing else.
func TestSessionsUponSessionsFillNoLog(t *testing.T) {
	d := awstest.Open(t)
	is := newIssuer(t, d, httptest.NewTLSServer)
	role(t, d, "ci", trusts(`{"Federated":"`+arn+`oidc-provider/`+is.url+`"}`, `"sts:AssumeRoleWithWebIdentity"`, `"StringLike":{"`+is.url+`:sub":"repo:*"}`), "")
	role(t, d, "ops", trusts(`{"AWS":"`+awstest.Account+`"}`, `"sts:AssumeRole"`, ""), "")
	eve := d.User("eve", policy(allow("sts:AssumeRole", arn+"role/ops")))
	web := func(subject string) *awstest.Answer {
		return d.Call("", "sts", "AssumeRoleWithWebIdentity", "RoleArn", arn+"role/ci", "RoleSessionName", "build", "WebIdentityToken", is.token(is.key, map[string]any{"sub": subject}))
	}
	for i := range 30 { // another subject each time is no way around
		for what, a := range map[string]*awstest.Answer{
			"web": web(fmt.Sprint("repo:", i)), "token": d.Call(eve, "sts", "GetSessionToken"),
			"role": d.Call(eve, "sts", "AssumeRole", "RoleArn", arn+"role/ops", "RoleSessionName", "work"),
		} {
			if !a.Is("") {
				t.Fatal(what, a.Body)
			}
		}
	}
	n := map[string]int{}
	for r, err := range d.Log.Read(t.Context(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n[r.Action]++; r.Kind != audit.KindCall && strings.HasPrefix(r.Action, "sts:") {
			t.Errorf("more than one record is of a call: %+v", r)
		}
	}
	for _, operation := range []string{"AssumeRoleWithWebIdentity", "GetSessionToken", "AssumeRole"} {
		if n["sts:"+operation] != 20 {
			t.Errorf("%d records of %s, 20 in a minute are right", n["sts:"+operation], operation)
		}
	}
	// One that is vouched for is held to the pace of everybody.
	for range 1000 {
		if a := web("repo:busy"); a.Is("Throttling") {
			if other := web("repo:calm"); !other.Is("") {
				t.Error("another one is held up: " + other.Body)
			}
			return
		} else if !a.Is("") {
			t.Fatal(a.Body)
		}
	}
	t.Error("a web identity makes as many calls as it likes")
}

// TestDenialsDoNotTellWhichRolesThereAre: a role that trusts somebody else looks
// like none, however long its session is to last.
func TestDenialsDoNotTellWhichRolesThereAre(t *testing.T) {
	d := awstest.Open(t, &gust.Function{Name: "pay", App: "shop"})
	is := newIssuer(t, d, httptest.NewServer)
	role(t, d, "hidden", trusts(`{"Service":"lambda.amazonaws.com"}`, `"sts:AssumeRole"`, ""), "")
	role(t, d, "shut", policy(`{"Effect":"Deny","Principal":"*","Action":"sts:*"}`), "")
	token := is.token(is.key, nil)
	for who, key := range map[string]string{
		"a web identity": "", "a user who may nothing": d.User("alice", ""), "one who may assume all": d.User("bob", policy(allow("sts:*", "*"))),
		"root": d.Root,
	} {
		told := func(name, seconds string, params ...string) string {
			op := "AssumeRole"
			params = append(params, "RoleArn", arn+"role/"+name, "RoleSessionName", "work", "DurationSeconds", seconds)
			if key == "" {
				op, params = "AssumeRoleWithWebIdentity", append(params, "WebIdentityToken", token)
			}
			a := d.Call(key, "sts", op, params...)
			return a.Code + " " + strings.ReplaceAll(a.Message, "role/"+name, "role/NAME")
		}
		for _, seconds := range []string{"900", "7200", "43200"} {
			want := told("none", seconds)
			for _, name := range []string{"hidden", "shut", "gust/fn.pay"} {
				if got := told(name, seconds); got != want || !strings.HasPrefix(got, "AccessDenied ") {
					t.Errorf("%s, for %s s: of the role %s it is told\n %s\nof none\n %s", who, seconds, name, got, want)
				}
			}
		}
	}
}

// TestIssuerOnThisMachine: it needs no TLS, and nobody is it by another scheme.
func TestIssuerOnThisMachine(t *testing.T) {
	d := awstest.Open(t)
	is := newIssuer(t, d, httptest.NewServer)
	role(t, d, "dev", trusts(`{"Federated":"`+arn+`oidc-provider/`+is.url+`"}`, `"sts:AssumeRoleWithWebIdentity"`, `"StringEquals":{"`+is.url+`:sub":"repo:me"}`), "")
	for issuer, code := range map[string]string{is.URL: "", "https://" + is.url: "InvalidIdentityToken"} {
		a := d.Call("", "sts", "AssumeRoleWithWebIdentity", "RoleArn", arn+"role/dev", "RoleSessionName", "me", "WebIdentityToken", is.token(is.key, map[string]any{"iss": issuer}))
		if !a.Is(code) {
			t.Errorf("%s: %s", issuer, a.Body)
		}
	}
}

// TestUnreachableIssuer: what a node cannot reach, and why, is not for those who
// only bring a token.
func TestUnreachableIssuer(t *testing.T) {
	d := awstest.Open(t)
	is := newIssuer(t, d, httptest.NewTLSServer)
	token := is.token(is.key, nil)
	is.Close()
	a := d.Call("", "sts", "AssumeRoleWithWebIdentity", "RoleArn", arn+"role/ci", "RoleSessionName", "build", "WebIdentityToken", token)
	if !a.Is("IDPCommunicationError") || strings.Contains(a.Body, "refused") || strings.Contains(a.Body, "127.0.0.1") {
		t.Error(a.Body)
	}
}

// Who may nothing writes only as many records as there are for denials.
func TestWhoMayNothingFillsNoLog(t *testing.T) {
	d := awstest.Open(t, &gust.Function{App: "shop", Name: "api"})
	s, err := d.Directory.FunctionSession("api", "env-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	who := s.KeyID + "." + s.Secret + "." + s.Token
	for range 30 {
		for _, call := range []struct {
			service, operation, code string
			params                   []string
		}{
			{"sts", "GetCallerIdentity", "", nil},
			{"sts", "GetSessionToken", "AccessDenied", nil},
			{"sts", "AssumeRole", "AccessDenied", []string{"RoleArn", arn + "role/none", "RoleSessionName", "work"}},
			{"iam", "CreateAccessKey", "AccessDenied", []string{"UserName", "alice"}},
			{"iam", "GetUser", "AccessDenied", []string{"UserName", "alice"}},
			{"iam", "DeleteLoginProfile", "AccessDenied", []string{"UserName", "alice"}},
		} {
			if a := d.Call(who, call.service, call.operation, call.params...); !a.Is(call.code) {
				t.Fatal(call.operation, a.Body)
			}
		}
		if a := d.Call("", "sts", "AssumeRoleWithWebIdentity", "RoleArn", arn+"role/none", "RoleSessionName", "work", "WebIdentityToken", "eyJ.eyJ.e30"); !a.Is("InvalidIdentityToken") {
			t.Fatal(a.Body)
		}
	}
	n := 0
	for r, err := range d.Log.Read(t.Context(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; r.Result != audit.Denied {
			t.Errorf("%+v", r)
		}
	}
	if n > 20 {
		t.Errorf("%d records, 20 of a principal in a minute are right", n)
	}
}
