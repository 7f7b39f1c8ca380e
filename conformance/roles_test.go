package conformance

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"
)

// said is what a function tells of its own call.
type said struct{ Answer, Error, Message string }

// TestRoles: functions that call the node's API by AWS's SDKs as they would call
// AWS, without a network and with no word of where it is or who they are, do what
// their policy allows and nothing else.
func TestRoles(t *testing.T) {
	deploy(t, "testdata/roles", "roles")
	who := map[string]string{"do": "who"}
	target := map[string]string{"do": "invoke", "function": "target"}
	const session = "arn:aws:sts::000000000000:assumed-role/fn."

	for _, language := range []string{"node", "python", "go"} {
		t.Run(language, func(t *testing.T) {
			allowed, denied := "roles-"+language, "denied-"+language
			for range 2 { // as it begins, and warm
				if got := invoke[said](t, allowed, target); got.Answer != `{"came": "a function"}` {
					t.Errorf("%s: %+v", allowed, got)
				}
			}
			got := invoke[said](t, denied, target)
			want := " is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda:us-east-1:000000000000:function:target because no identity-based policy allows the lambda:InvokeFunction action"
			if got.Error != "AccessDeniedException" || !strings.Contains(got.Message, "User: "+session+denied+"/") || !strings.Contains(got.Message, want) {
				t.Errorf("%s: %+v", denied, got)
			}
			for _, function := range []string{allowed, denied} {
				if got := invoke[said](t, function, who); !strings.HasPrefix(got.Answer, session+function+"/") {
					t.Errorf("%s is %+v", function, got)
				}
			}
			// The policy says which function, not any.
			if got := invoke[said](t, allowed, map[string]string{"do": "invoke", "function": denied}); got.Error != "AccessDeniedException" {
				t.Errorf("%s invokes what it may not: %+v", allowed, got)
			}
		})
	}

	t.Run("a web server", func(t *testing.T) {
		res := ask(t, "GET", "/roles?do=invoke&function=target", nil)
		if got := decode[said](t, readAll(t, res.Body)); got.Answer != `{"came": "a function"}` {
			t.Errorf("%+v", got)
		}
	})

	t.Run("beside a proxy", func(t *testing.T) {
		if got := invoke[said](t, "proxied-python", who); !strings.HasPrefix(got.Answer, session+"proxied-python/") {
			t.Errorf("%+v", got)
		}
	})
}

// TestRolesOfAnotherDeploy: a policy that is taken back holds for credentials that
// are out already, wherever they got to.
func TestRolesOfAnotherDeploy(t *testing.T) {
	dir := t.TempDir()
	for _, source := range []string{"python", "target"} {
		copyTree(t, filepath.Join("testdata/roles", source), filepath.Join(dir, source))
	}
	text := `
app: roles-again
functions:
  target: {runtime: python, source: ./target, handler: app.handler, network: none}
  roles-again: {runtime: python, source: ./python, handler: app.handler, network: none, timeout: 10s, memory: 256MB%s}
`
	manifest(t, dir, fmt.Sprintf(text, ", policy: [{allow: lambda:InvokeFunction, on: function:target}]"))
	deploy(t, dir, "roles-again")
	parts := strings.Split(invoke[said](t, "roles-again", map[string]string{"do": "credentials"}).Answer, ",")
	if len(parts) != 3 {
		t.Fatalf("the function has no credentials: %q", parts)
	}
	client := sdk(func(o *lambda.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(parts[0], parts[1], parts[2])
	})
	in := &lambda.InvokeInput{FunctionName: aws.String("target"), Payload: []byte(`{"from": "outside"}`)}
	if out, err := client.Invoke(t.Context(), in); err != nil || string(out.Payload) != `{"came": "outside"}` {
		t.Fatalf("what was allowed: %v", err)
	}
	manifest(t, dir, fmt.Sprintf(text, ""))
	if _, err := shared.gust(t.Context(), "deploy", dir); err != nil {
		t.Fatal(err)
	}
	var refused smithy.APIError
	if _, err := client.Invoke(t.Context(), in); !errors.As(err, &refused) || refused.ErrorCode() != "AccessDeniedException" {
		t.Errorf("what is allowed no more: %v", err)
	}
}
