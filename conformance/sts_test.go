package conformance

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// person is a user with a key and these rights, for as long as the node lives.
func person(t *testing.T, name string, rights *string) (who as, key *types.AccessKey) {
	t.Helper()
	c, user := asKey("", "", "").iam(), aws.String(name)
	must(c.CreateUser(t.Context(), &iam.CreateUserInput{UserName: user}))(t)
	if rights != nil {
		must(c.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: user, PolicyName: aws.String("rights"), PolicyDocument: rights}))(t)
	}
	key = must(c.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: user}))(t).AccessKey
	return asKey(*key.AccessKeyId, *key.SecretAccessKey, ""), key
}

// roleOf makes a role with these rights, whom trusted is a policy about.
func roleOf(t *testing.T, name string, trusted, rights *string, tags ...types.Tag) (arn *string) {
	t.Helper()
	c := asKey("", "", "").iam()
	arn = must(c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: trusted, Tags: tags}))(t).Role.Arn
	if rights != nil {
		must(c.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("rights"), PolicyDocument: rights}))(t)
	}
	return arn
}

// TestSessions: what AssumeRole takes along, and what it refuses.
func TestSessions(t *testing.T) {
	ctx := t.Context()
	const function = "arn:aws:lambda:us-east-1:000000000000:function:"
	carol, _ := person(t, "carol", statement("Allow", "sts:*", "*"))
	trusted := policyOf(map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": account + "user/carol"},
		"Action": []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}})
	wide := roleOf(t, "wide", trusted, statement("Allow", "lambda:*", "*"))
	tagged := roleOf(t, "tagged", policyOf(map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": account + "role/wide"},
		"Action": []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}, "Condition": map[string]any{"StringEquals": map[string]string{"aws:PrincipalTag/team": "blue", "aws:SourceIdentity": "carol"}}}), nil)
	must(asKey("", "", "").iam().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("wide"), PolicyName: aws.String("on"), PolicyDocument: statement("Allow", "sts:*", "*")}))(t)
	outside := roleOf(t, "outside", policyOf(map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": account + "user/carol"}, "Action": "sts:AssumeRole",
		"Condition": map[string]any{"StringEquals": map[string]string{"sts:ExternalId": "deal-7"}}}), nil)
	assume := func(who as, in sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
		if in.RoleArn == nil {
			in.RoleArn = wide
		}
		in.RoleSessionName = aws.String("work")
		return who.sts().AssumeRole(ctx, &in)
	}
	invoke := func(who as, function string) error {
		return failed(who.lambda().Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, InvocationType: "DryRun"}))
	}

	t.Run("a session policy narrows", func(t *testing.T) {
		out := must(assume(carol, sts.AssumeRoleInput{Policy: statement("Allow", "lambda:InvokeFunction", function+"one"), DurationSeconds: aws.Int32(900)}))(t)
		if left := time.Until(*out.Credentials.Expiration); left < 14*time.Minute || left > 15*time.Minute {
			t.Errorf("it ends in %v, want 15 minutes", left)
		}
		if *out.AssumedRoleUser.Arn != "arn:aws:sts::000000000000:assumed-role/wide/work" || !strings.HasSuffix(*out.AssumedRoleUser.AssumedRoleId, ":work") || aws.ToInt32(out.PackedPolicySize) <= 0 {
			t.Errorf("%+v", out)
		}
		session := asSession(out.Credentials)
		if got := named(invoke(session, "one")); got != "ResourceNotFoundException" {
			t.Errorf("what is allowed is %s", got)
		}
		if got := told(invoke(session, "two")); !strings.HasPrefix(got, "AccessDeniedException: User: arn:aws:sts::000000000000:assumed-role/wide/work is not authorized to perform: lambda:InvokeFunction on resource: "+
			function+"two because no session policy allows the lambda:InvokeFunction action") {
			t.Error(got)
		}
		managed := must(assume(carol, sts.AssumeRoleInput{PolicyArns: []ststypes.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess")}}}))(t)
		if got := named(asSession(managed.Credentials).functions(t)) + " " + named(invoke(asSession(managed.Credentials), "one")); got != "none AccessDeniedException" {
			t.Error(got)
		}
		widened := must(assume(carol, sts.AssumeRoleInput{Policy: statement("Allow", "*", "*")}))(t)
		if got := failed(asSession(widened.Credentials).iam().ListUsers(ctx, nil)); named(got) != "AccessDenied" {
			t.Errorf("a session policy widens: %v", got)
		}
	})

	t.Run("tags and a source identity go on", func(t *testing.T) {
		if got := fault(assume(carol, sts.AssumeRoleInput{RoleArn: tagged})); got != "AccessDenied" {
			t.Errorf("without them: %s", got)
		}
		in := sts.AssumeRoleInput{Tags: []ststypes.Tag{{Key: aws.String("team"), Value: aws.String("blue")}}, TransitiveTagKeys: []string{"team"}}
		plain := asSession(must(assume(carol, in))(t).Credentials)
		if got := fault(assume(plain, sts.AssumeRoleInput{RoleArn: tagged})); got != "AccessDenied" {
			t.Errorf("without a source identity: %s", got)
		}
		in.SourceIdentity = aws.String("carol")
		first := must(assume(carol, in))(t)
		if aws.ToString(first.SourceIdentity) != "carol" {
			t.Errorf("%+v", first)
		}
		second := must(assume(asSession(first.Credentials), sts.AssumeRoleInput{RoleArn: tagged}))(t)
		if aws.ToString(second.SourceIdentity) != "carol" {
			t.Errorf("%+v", second)
		}
		if got := told(failed(assume(asSession(first.Credentials), sts.AssumeRoleInput{RoleArn: tagged, DurationSeconds: aws.Int32(7200)}))); !strings.HasPrefix(got, "ValidationError: ") {
			t.Errorf("two hours for a session of a session: %s", got)
		}
	})

	t.Run("an external id", func(t *testing.T) {
		if got := fault(assume(carol, sts.AssumeRoleInput{RoleArn: outside})); got != "AccessDenied" {
			t.Errorf("without: %s", got)
		}
		if got := fault(assume(carol, sts.AssumeRoleInput{RoleArn: outside, ExternalId: aws.String("deal-8")})); got != "AccessDenied" {
			t.Errorf("another: %s", got)
		}
		if got := fault(assume(carol, sts.AssumeRoleInput{RoleArn: outside, ExternalId: aws.String("deal-7")})); got != "none" {
			t.Errorf("the right one: %s", got)
		}
	})

	t.Run("what cannot be", func(t *testing.T) {
		for what, in := range map[string]sts.AssumeRoleInput{
			"ValidationError":                  {DurationSeconds: aws.Int32(3601)},
			"MalformedPolicyDocumentException": {Policy: aws.String(`{"Statement": []`)},
		} {
			if got := fault(assume(carol, in)); got != what {
				t.Errorf("%s, want %s", got, what)
			}
		}
		dave, _ := person(t, "dave", statement("Allow", "sts:*", "*"))
		if got := fault(assume(dave, sts.AssumeRoleInput{})); got != "AccessDenied" {
			t.Errorf("who is not trusted: %s", got)
		}
	})

	t.Run("a session token", func(t *testing.T) {
		erin, key := person(t, "erin", statement("Allow", "*", "*"))
		session := asSession(must(erin.sts().GetSessionToken(ctx, nil))(t).Credentials)
		if got := named(session.functions(t)) + " " + fault(session.iam().ListUsers(ctx, nil)) + " " + fault(session.sts().GetSessionToken(ctx, nil)); got != "none AccessDenied AccessDenied" {
			t.Error(got)
		}
		c := asKey("", "", "").iam()
		must(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: aws.String("erin"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeInactive}))(t)
		if got := named(session.functions(t)); got != "UnrecognizedClientException" {
			t.Errorf("its key is inactive: %s", got)
		}
	})

	t.Run("credentials are renewed", func(t *testing.T) {
		// The provider takes 15 minutes, and finds at once that they end too soon.
		renewed := 0
		cache := aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(carol.sts(), *wide, func(o *stscreds.AssumeRoleOptions) { o.Duration = 15 * time.Minute }),
			func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 20 * time.Minute })
		for last := ""; renewed < 2; renewed++ {
			c := must(cache.Retrieve(ctx))(t)
			if !c.CanExpire || c.AccessKeyID == last {
				t.Fatalf("the same again: %+v", c)
			}
			last = c.AccessKeyID
			if got := asKey(c.AccessKeyID, c.SecretAccessKey, c.SessionToken).who(t); !strings.HasPrefix(got, "arn:aws:sts::000000000000:assumed-role/wide/") {
				t.Error(got)
			}
		}
	})
}

// asking are AWS's clients, each asking who it is with nothing but what its
// environment says: `who`, of the programs of TestIdentities.
var asking = map[string]func(t *testing.T, env []string) string{
	"go": func(t *testing.T, env []string) string {
		for _, v := range env {
			name, value, _ := strings.Cut(v, "=")
			t.Setenv(name, value)
		}
		// It looks for credentials before it knows of AWS_ENDPOINT_URL.
		t.Setenv("AWS_ENDPOINT_URL_STS", os.Getenv("AWS_ENDPOINT_URL"))
		c := must(config.LoadDefaultConfig(t.Context()))(t)
		return as{c}.who(t)
	},
	"boto3": func(t *testing.T, env []string) string {
		return line(run(t, ".", env, need(t, "../.cache/conformance/clients/bin/python"), "testdata/identities/client.py", "who"))
	},
	"awscli": func(t *testing.T, env []string) string {
		return line(run(t, ".", env, need(t, "../.cache/conformance/clients/bin/aws"), "sts", "get-caller-identity", "--query", "Arn", "--output", "text"))
	},
	"javascript": func(t *testing.T, env []string) string { return line(javaScript(t, env, "who")) },
	"rust":       func(t *testing.T, env []string) string { return line(rust(t, env, "who")) },
}

func line(out []byte) string { return strings.TrimSpace(string(out)) }

// chainEnv says where the node is, and not who asks.
func chainEnv(t *testing.T, more ...string) []string {
	none := filepath.Join(t.TempDir(), "none")
	env := []string{"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none}
	for _, v := range clientEnv(t) {
		if !strings.HasPrefix(v, "AWS_ACCESS_KEY_ID=") && !strings.HasPrefix(v, "AWS_SECRET_ACCESS_KEY=") {
			env = append(env, v)
		}
	}
	return append(env, more...)
}

// TestProfiles: clients assume a role because a profile says so.
func TestProfiles(t *testing.T) {
	_, key := person(t, "frank", statement("Allow", "sts:AssumeRole", "*"))
	arn := roleOf(t, "profiled", policyOf(map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": account + "user/frank"}, "Action": "sts:AssumeRole",
		"Condition": map[string]any{"StringEquals": map[string]string{"sts:ExternalId": "deal-7"}}}), nil)
	file := filepath.Join(t.TempDir(), "config")
	write(t, file, fmt.Appendf(nil, `[profile frank]
aws_access_key_id = %s
aws_secret_access_key = %s

[profile deploy]
role_arn = %s
source_profile = frank
role_session_name = by-profile
external_id = deal-7
region = us-east-1
`, *key.AccessKeyId, *key.SecretAccessKey, *arn), 0o600)
	for name, ask := range asking {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, chainEnv(t, "AWS_CONFIG_FILE="+file, "AWS_PROFILE=deploy")); got != "arn:aws:sts::000000000000:assumed-role/profiled/by-profile" {
				t.Error(got)
			}
		})
	}
}

// TestWebIdentity: clients show the token of an OpenID Connect issuer for
// credentials of a role, as programs on a CI system or a cluster do.
func TestWebIdentity(t *testing.T) {
	key := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	encode := base64.RawURLEncoding.EncodeToString
	var issuer *httptest.Server
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/openid-configuration" {
			fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, issuer.URL, issuer.URL+"/keys")
			return
		}
		fmt.Fprintf(w, `{"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one", "n": %q, "e": "AQAB"}]}`, encode(key.N.Bytes()))
	}))
	t.Cleanup(issuer.Close)
	token := func(audience string, left time.Duration) string {
		claims := must(json.Marshal(map[string]any{"iss": issuer.URL, "sub": "repo:me/shop", "aud": audience, "iat": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(left).Unix()}))(t)
		text := encode([]byte(`{"alg": "RS256", "kid": "one"}`)) + "." + encode(claims)
		sum := sha256.Sum256([]byte(text))
		return text + "." + encode(must(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]))(t))
	}
	host := strings.TrimPrefix(issuer.URL, "http://")
	c := asKey("", "", "").iam()
	provider := must(c.CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: &issuer.URL, ClientIDList: []string{"sts.amazonaws.com"}}))(t).OpenIDConnectProviderArn
	arn := roleOf(t, "ci", policyOf(map[string]any{"Effect": "Allow", "Principal": map[string]string{"Federated": *provider}, "Action": "sts:AssumeRoleWithWebIdentity",
		"Condition": map[string]any{"StringEquals": map[string]string{host + ":sub": "repo:me/shop", host + ":aud": "sts.amazonaws.com"}}}), nil)

	file := filepath.Join(t.TempDir(), "token")
	write(t, file, []byte(token("sts.amazonaws.com", time.Hour)), 0o600)
	for name, ask := range asking {
		t.Run(name, func(t *testing.T) {
			env := chainEnv(t, "AWS_WEB_IDENTITY_TOKEN_FILE="+file, "AWS_ROLE_ARN="+*arn, "AWS_ROLE_SESSION_NAME=build")
			if got := ask(t, env); got != "arn:aws:sts::000000000000:assumed-role/ci/build" {
				t.Error(got)
			}
		})
	}

	t.Run("refusals", func(t *testing.T) {
		nobody := as{aws.Config{BaseEndpoint: aws.String(shared.env["AWS_ENDPOINT_URL"]), Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1}}
		for want, token := range map[string]string{
			"ExpiredTokenException":         token("sts.amazonaws.com", -10*time.Minute),
			"InvalidIdentityTokenException": token("another", time.Hour),
		} {
			got := fault(nobody.sts().AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: arn, RoleSessionName: aws.String("build"), WebIdentityToken: &token}))
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		if got := fault(nobody.sts().GetCallerIdentity(t.Context(), nil)); got != "MissingAuthenticationToken" {
			t.Errorf("without a credential: %s", got)
		}
	})
}

// TestCertificate: clients trust the certificate that a node made when they are
// told which one it is, as docs/TLS.md says for each, and no other.
func TestCertificate(t *testing.T) {
	n, err := startNode([]string{"--tls", "self"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	certificate := filepath.Join(n.data, "tls", "cert.pem")
	env := []string{"HOME=" + t.TempDir(), "AWS_PAGER=", "SSL_CERT_FILE=" + certificate} // the last for Rust
	for k, v := range n.env {
		env = append(env, k+"="+v)
	}
	if n.env["AWS_CA_BUNDLE"] != certificate || n.env["NODE_EXTRA_CA_CERTS"] != certificate || !strings.HasPrefix(n.env["AWS_ENDPOINT_URL"], "https://") {
		t.Errorf("gust env says %q", n.env)
	}
	for name, ask := range asking {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, env); got != account+"root" {
				t.Error(got)
			}
		})
	}
	t.Run("untold", func(t *testing.T) {
		stranger := as{aws.Config{BaseEndpoint: aws.String(n.env["AWS_ENDPOINT_URL"]), Region: "us-east-1", RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(n.env["AWS_ACCESS_KEY_ID"], n.env["AWS_SECRET_ACCESS_KEY"], "")}}
		if err := failed(stranger.sts().GetCallerIdentity(t.Context(), nil)); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("who was not told of the certificate trusts it: %v", err)
		}
	})
}

// TestWrongClock: of clients whose clock is an hour late, those that can learn the
// time from the node's refusal and try again do; the others show it.
func TestWrongClock(t *testing.T) {
	late := append(clientEnv(t), "CLOCK=3600000")
	for client, learns := range map[string]bool{"boto3": false, "javascript": true, "rust": true} {
		got := asking[client](t, late)
		if learns && got != account+"root" || !learns && !strings.HasPrefix(got, "SignatureDoesNotMatch: ") {
			t.Errorf("%s: %s", client, got)
		}
	}
	if got := line(javaScript(t, append(late, "ATTEMPTS=1"), "who")); !strings.HasPrefix(got, "SignatureDoesNotMatch: ") {
		t.Errorf("javascript, with one attempt: %s", got)
	}

	t.Run("go", func(t *testing.T) {
		// It is the year 2000 in there.
		synctest.Test(t, func(t *testing.T) {
			root := asKey("", "", "")
			root.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			if got := told(failed(root.sts().GetCallerIdentity(t.Context(), nil))); !strings.HasPrefix(got, "SignatureDoesNotMatch: ") {
				t.Errorf("with one attempt: %s", got)
			}
			root.RetryMaxAttempts = 3
			if got := root.who(t); got != account+"root" {
				t.Error(got)
			}
		})
	})
}
