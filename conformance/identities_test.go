package conformance

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/store"
)

// TestIdentities has the same conversation with the node by each of AWS's clients,
// unmodified: the calls that the examples of the SDKs' documentation for IAM and
// STS make, in their order, with the paginators and waiters of the client; and
// what is allowed, not allowed and denied. Each says what it was answered, and the
// names that it has for errors. NAME is the client's own.
func TestIdentities(t *testing.T) {
	dir := t.TempDir()
	copyTree(t, "testdata/roles/target", filepath.Join(dir, "target"))
	manifest(t, dir, `
app: identities
functions:
  identities-open: {runtime: python, source: ./target, handler: app.handler, network: none}
`)
	deploy(t, dir, "identities")
	want := map[string]string{
		"root":           "arn:aws:iam::000000000000:root",
		"user":           "arn:aws:iam::000000000000:user/NAME/NAME-alice",
		"user again":     "EntityAlreadyExistsException",
		"user nobody":    "NoSuchEntityException",
		"users":          "NAME-alice,NAME-bob",
		"renamed":        "NAME-robert",
		"tags":           "colour=blue,size=9",
		"third key":      "LimitExceededException",
		"who":            "arn:aws:iam::000000000000:user/NAME/NAME-alice",
		"last used":      "NAME-alice sts",
		"keys":           "Active,Inactive",
		"inactive key":   "InvalidClientTokenId",
		"wrong secret":   "InvalidClientTokenId",
		"unknown key":    "InvalidClientTokenId",
		"expired":        "ExpiredTokenException",
		"group":          "NAME-alice",
		"groups":         "NAME-team",
		"group in use":   "DeleteConflictException",
		"policy":         "arn:aws:iam::000000000000:policy/NAME/NAME-policy",
		"sixth version":  "LimitExceededException",
		"versions":       "v1,v2,v3,v4,v5",
		"default":        "v2",
		"version":        "lambda:GetFunction",
		"local policies": "NAME-policy", "policies of AWS": "true",
		"malformed": "MalformedPolicyDocumentException",
		"role":      "arn:aws:iam::000000000000:role/NAME/NAME-role",
		"trusted":   "arn:aws:iam::000000000000:user/NAME/NAME-alice",
		"roles":     "NAME-role",
		"attached":  "NAME-policy", "attached to": "NAME-role", "attached policies": "NAME-policy",
		"inline": "inline", "inline policy": "lambda:GetFunction",
		"role in use":               "DeleteConflictException",
		"policy in use":             "DeleteConflictException",
		"alias":                     "NAME-two",
		"no alias":                  "",
		"users' quota":              "5000",
		"details":                   "NAME-team,NAME-policy,inline",
		"report":                    "true",
		"password policy":           "NoSuchEntityException",
		"refused":                   "InvalidAction",
		"before the group's policy": "AccessDeniedException",
		"by the group's policy":     "none",
		"without a role":            "AccessDeniedException",
		"assume denied":             "AccessDenied",
		"session":                   "arn:aws:sts::000000000000:assumed-role/NAME-role/session",
		"with a role":               "none",
		"token":                     "arn:aws:iam::000000000000:user/NAME/NAME-alice",
		"allowed":                   `{"came": "a user"}`,
		"not allowed": "AccessDeniedException: User: arn:aws:iam::000000000000:user/NAME/NAME-alice is not authorized to perform: lambda:InvokeFunction on resource: " +
			"arn:aws:lambda:us-east-1:000000000000:function:identities-other because no identity-based policy allows the lambda:InvokeFunction action",
		"denied": "AccessDeniedException: User: arn:aws:iam::000000000000:user/NAME/NAME-alice is not authorized to perform: lambda:InvokeFunction on resource: " +
			"arn:aws:lambda:us-east-1:000000000000:function:identities-shut with an explicit deny in an identity-based policy (statement Never of inline policy invoke of user NAME-alice)",
		"iam denied": "AccessDenied: User: arn:aws:iam::000000000000:user/NAME/NAME-alice is not authorized to perform: iam:ListUsers on resource: " +
			"* because no identity-based policy allows the iam:ListUsers action",
		"role is gone":       "NoSuchEntityException",
		"session of no role": "UnrecognizedClientException",
		"left":               "",
	}
	ended := expired(t)
	env := append(clientEnv(t), "EXPIRED_KEY="+ended.KeyID, "EXPIRED_SECRET="+ended.Secret, "EXPIRED_TOKEN="+ended.Token)
	inPython := func(t *testing.T, name string) map[string]string {
		python := need(t, "../.cache/conformance/clients/bin/python")
		return decode[map[string]string](t, run(t, ".", env, python, "testdata/identities/client.py", name))
	}
	for client, converse := range map[string]func(t *testing.T, name string) map[string]string{
		"go":     func(t *testing.T, name string) map[string]string { return converseInGo(t, name, ended) },
		"boto3":  inPython,
		"awscli": inPython,
		"javascript": func(t *testing.T, name string) map[string]string {
			return decode[map[string]string](t, javaScript(t, env, name))
		},
		"rust": func(t *testing.T, name string) map[string]string {
			return decode[map[string]string](t, rust(t, env, name))
		},
	} {
		t.Run(client, func(t *testing.T) {
			said := converse(t, client)
			for what, text := range want {
				text = strings.ReplaceAll(text, "NAME", client)
				if got, ok := said[what]; !ok || got != text {
					t.Errorf("%s: %q, want %q", what, got, text)
				}
			}
			if len(said) != len(want) {
				t.Errorf("it said %d things, want %d: %q", len(said), len(want), slices.Sorted(maps.Keys(said)))
			}
		})
	}
}

// javaScript runs the program with the SDK for JavaScript, from beside the SDK.
func javaScript(t *testing.T, env []string, what string) []byte {
	t.Helper()
	node, dir := need(t, "node"), cache(t, "identities")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Skipf("the SDK is missing; conformance/install.sh installs it (%v)", err)
	}
	program := filepath.Join(dir, "client.js")
	copyFile(t, "testdata/identities/node/client.js", program)
	return run(t, dir, env, node, program, what)
}

// rust runs the program with the SDK for Rust.
func rust(t *testing.T, env []string, what string) []byte {
	t.Helper()
	cargo, out := need(t, "cargo"), cache(t, "rust-sdk")
	run(t, "testdata/identities/rust", []string{"CARGO_TARGET_DIR=" + out}, cargo, "build", "--locked", "--quiet")
	return run(t, ".", env, filepath.Join(out, "debug", "identities"), what)
}

// clientEnv is what `gust env` prints, and a home folder without any
// configuration.
func clientEnv(t *testing.T) []string {
	t.Helper()
	env := []string{"HOME=" + t.TempDir(), "AWS_PAGER="}
	for k, v := range shared.env {
		env = append(env, k+"="+v)
	}
	return env
}

// expired is a session of root that ended an hour ago. It is made with the node's
// own keys and an older clock, since sessions last 15 minutes at least.
func expired(t *testing.T) *identity.Session {
	t.Helper()
	root, rootErr := access.ReadRootKey(shared.data)
	seal, _, sealErr := access.OpenSealKey(shared.data)
	s, storeErr := store.Open(store.Options{Dir: t.TempDir()})
	if err := cmp.Or(rootErr, sealErr, storeErr); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	place := gust.Place{Account: "000000000000", Region: "us-east-1"}
	d, err := identity.Open(t.Context(), s, identity.Options{Place: place, Seal: seal, Root: root, Now: func() time.Time { return time.Now().Add(-2 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	session, err := d.SessionToken(&access.Caller{Credential: access.RootCredential(root, place)}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return session
}
