package identity

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

// A statement of a resource's policy goes on to mean whom it meant when others
// come and go beside it, whoever has the name by then.
func TestStatementsThatStayMeanWhomTheyMeant(t *testing.T) {
	d, _ := open(t, options())
	const queue = "arn:aws:sqs:us-east-1:123456789012:orders"
	st := func(effect, user string) string {
		return fmt.Sprintf(`{"Effect":%q,"Principal":{"AWS":"%suser/%s"},"Action":"sqs:SendMessage","Resource":%q}`, effect, account, user, queue)
	}
	put := func(statements ...string) error {
		return d.ChangeResourcePolicy(t.Context(), queue, func(string) (string, error) {
			if len(statements) == 0 {
				return "", nil
			}
			return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",\n") + `]}`, nil
		})
	}
	sends := func(key string) bool { t.Helper(); return may(t, d, key, "", "sqs:SendMessage", queue) }
	leave := func(name, key string) {
		t.Helper()
		must(t, d.DeleteKey(t.Context(), name, key))
		must(t, d.Delete(t.Context(), User(name)))
	}

	_, first := user(t, d, "alice", "")
	_, bob := user(t, d, "bob", "")
	must(t, put(st("Allow", "alice")))
	if !sends(first.ID) || sends(bob.ID) {
		t.Fatal("the policy does not do what it says")
	}
	leave("alice", first.ID)
	_, second := user(t, d, "alice", "")
	must(t, put(st("Allow", "alice"), st("Allow", "bob"))) // bob's comes to it
	if sends(second.ID) || !sends(bob.ID) {
		t.Errorf("the second alice may: %v, bob may: %v", sends(second.ID), sends(bob.ID))
	}
	leave("alice", second.ID)
	must(t, put(st("Allow", "alice"))) // bob's goes, while there is no alice
	if sends(bob.ID) {
		t.Error("bob may still")
	}

	// Who has the name now is meant by what is written now, after what meant
	// another is gone.
	_, third := user(t, d, "alice", "")
	again := strings.Replace(st("Allow", "alice"), "SendMessage", "*", 1)
	if err := put(st("Allow", "alice"), again); !errors.As(err, new(*MalformedPolicyError)) || !strings.Contains(err.Error(), "remove it first") {
		t.Errorf("one name for two: %v", err)
	}
	must(t, put(again))
	if !sends(third.ID) {
		t.Error("the third alice may not")
	}

	// Who is renamed stays meant, and has one name in a document.
	must(t, put(st("Deny", "bob")))
	must(t, d.Rename(t.Context(), User("bob"), "rob", ""))
	if err := put(st("Deny", "bob"), st("Allow", "rob")); !errors.As(err, new(*MalformedPolicyError)) || !strings.Contains(err.Error(), "renamed") {
		t.Errorf("two names for one: %v", err)
	}
	must(t, put(st("Deny", "bob"), st("Allow", "alice")))
	must(t, d.PutInline(t.Context(), User("rob"), "all", allow("sqs:*", "*")))
	if sends(bob.ID) || !sends(third.ID) {
		t.Errorf("rob may: %v, alice may: %v", sends(bob.ID), sends(third.ID))
	}
}

// A function that another app takes over does not bring along whom its policy let
// in; the app that has it begins anew.
func TestAPolicyStaysWithItsApp(t *testing.T) {
	functions := map[string]*gust.Function{"api": {Name: "api", App: "shop"}}
	o := options()
	o.Functions = func() map[string]*gust.Function { return functions }
	d, s := open(t, o)
	_, key := user(t, d, "alice", "")
	arn := place.FunctionARN("api")
	allow := func(want string) {
		t.Helper()
		must(t, d.ChangeResourcePolicy(t.Context(), arn, func(was string) (string, error) {
			if was != want {
				t.Errorf("before it was %q, want %q", was, want)
			}
			return statement("Allow", `{"AWS":"`+alice+`"}`, "lambda:InvokeFunction", arn, ""), nil
		}))
	}
	invokes := func(want bool) {
		t.Helper()
		if got := may(t, d, key.ID, "", "lambda:InvokeFunction", arn); got != want {
			t.Errorf("alice may: %v", got)
		}
	}
	allow("")
	invokes(true)
	functions["api"] = &gust.Function{Name: "api", App: "other"} // before anybody sweeps
	invokes(false)
	if _, err := d.ResourcePolicy(arn); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("the policy of before is there: %v", err)
	}
	allow("")
	invokes(true)
	must(t, d.Close())
	d = openOn(t, s, o)
	invokes(true)
	functions["api"] = &gust.Function{Name: "api", App: "shop"}
	must(t, d.Sweep(t.Context()))
	functions["api"] = &gust.Function{Name: "api", App: "other"}
	invokes(false) // it was swept
}

// A function that goes while its policy is changed leaves nothing to who gets its
// name: neither what was being written nor what was there.
func TestAPolicyOutlivesNoFunction(t *testing.T) {
	functions := map[string]*gust.Function{}
	o := options()
	o.Functions = func() map[string]*gust.Function { return functions }
	d, s := open(t, o)
	_, key := user(t, d, "alice", "")
	arn := place.FunctionARN("api")
	policy := statement("Allow", `{"AWS":"`+alice+`"}`, "lambda:InvokeFunction", arn, "")
	declare := func(app string) { functions["api"] = &gust.Function{Name: "api", App: app} }
	inherits := func(when string) {
		t.Helper()
		declare("other")
		if may(t, d, key.ID, "", "lambda:InvokeFunction", arn) {
			t.Errorf("%s: the other app's function lets alice in", when)
		}
		must(t, d.Sweep(t.Context()))
		if len(d.state.Load().resources) != 0 {
			t.Errorf("%s: the policy is kept", when)
		}
	}

	for _, name := range []string{"api", "api:1"} {
		err := d.ChangeResourcePolicy(t.Context(), place.FunctionARN(name), func(string) (string, error) { return policy, nil })
		if missing := (*NotFoundError)(nil); !errors.As(err, &missing) || missing.What != "function" || missing.Name != name {
			t.Errorf("of a function that is not there: %v", err)
		}
	}
	inherits("before it was there")

	for when, goes := range map[string]func(){
		"removed":    func() { delete(functions, "api") },
		"taken over": func() { declare("other") },
	} {
		for _, before := range []bool{false, true} { // its policy has been written before
			declare("shop")
			if before {
				must(t, d.ChangeResourcePolicy(t.Context(), arn, func(string) (string, error) { return policy, nil }))
			}
			must(t, d.ChangeResourcePolicy(t.Context(), arn, func(string) (string, error) {
				goes()
				return policy, nil
			}))
			if before { // it is read anew
				must(t, d.Close())
				d = openOn(t, s, o)
			}
			inherits(when)
		}
	}
}
