package conformance

import (
	"strings"
	"testing"
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
