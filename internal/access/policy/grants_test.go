package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
)

func TestFromGrants(t *testing.T) {
	place := gust.Place{Account: account, Region: "eu-west-1"}
	d, err := policy.FromGrants(place, []gust.Grant{
		{Effect: gust.Allow, Actions: []string{"lambda:InvokeFunction"}, Resources: []string{"function:worker"}, Sid: "Worker"},
		{Effect: gust.Deny, Actions: []string{"s3:*"}, Resources: []string{"arn:aws:s3:::hr/*", "*"},
			When: map[string]map[string][]string{"StringNotEquals": {"aws:PrincipalTag/team": {"hr"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(d.JSON(), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"Version": "2012-10-17", "Statement": [
		{"Sid": "Worker", "Effect": "Allow", "Action": ["lambda:InvokeFunction"], "Resource": [
			"arn:aws:lambda:eu-west-1:111122223333:function:worker", "arn:aws:lambda:eu-west-1:111122223333:function:worker:*"]},
		{"Effect": "Deny", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::hr/*", "*"],
			"Condition": {"StringNotEquals": {"aws:PrincipalTag/team": ["hr"]}}}]}`), &want); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %s", d.JSON())
	}
	r := policy.Compile(policy.Layers{Identity: []policy.Attached{{Name: "policy of function api", Document: d}}})
	for resource, want := range map[string]bool{
		"arn:aws:lambda:eu-west-1:111122223333:function:worker":     true,
		"arn:aws:lambda:eu-west-1:111122223333:function:worker:3":   true,
		"arn:aws:lambda:eu-west-1:111122223333:function:worker-two": false,
		"arn:aws:lambda:us-east-1:111122223333:function:worker":     false,
	} {
		if d := r.Decide(&policy.Request{Action: "lambda:InvokeFunction", Resource: resource, Subject: subjects["worker"]}, nil); d.Allowed != want {
			t.Errorf("%s: %+v", resource, d)
		}
	}

	// Nothing granted is nothing allowed.
	if d, err = policy.FromGrants(place, nil); err != nil || !strings.Contains(string(d.JSON()), `"Statement": []`) {
		t.Fatalf("%v %s", err, d.JSON())
	}
	r = policy.Compile(policy.Layers{Identity: []policy.Attached{{Name: "policy of function api", Document: d}}})
	if d := r.Decide(&policy.Request{Action: "a:B", Resource: "*", Subject: subjects["worker"]}, nil); d.Allowed || d.Layer != policy.LayerIdentity {
		t.Errorf("%+v", d)
	}
}

func TestCheckGrants(t *testing.T) {
	one := func(effect gust.Effect, action, resource string) []gust.Grant {
		return []gust.Grant{{Effect: effect, Actions: []string{action}, Resources: []string{resource}}}
	}
	with := func(g gust.Grant) []gust.Grant {
		g.Effect, g.Actions, g.Resources = gust.Allow, []string{"lambda:InvokeFunction"}, []string{"function:worker"}
		return []gust.Grant{g}
	}
	many := make([]gust.Grant, gust.MaxGrants+1)
	twice := append(with(gust.Grant{Sid: "A"}), with(gust.Grant{Sid: "A"})...)
	long := one(gust.Allow, "lambda:InvokeFunction", "*")
	wide := one(gust.Allow, "lambda:InvokeFunction", "*")
	wide[0].Actions = make([]string, 1001)
	for range 900 {
		long[0].Resources = append(long[0].Resources, "arn:aws:s3:::"+strings.Repeat("x", 80))
	}
	for _, test := range []struct {
		grants []gust.Grant
		want   string
	}{
		{one("permit", "a:B", "*"), `[0]: want allow or deny, got "permit"`},
		{one(gust.Allow, "Invoke", "*"), "[0].allow[0]: want service:Action such as lambda:InvokeFunction"},
		{one(gust.Deny, "lambda:Invoke", "*"), `[0].deny[0]: "lambda:Invoke" is an operation, and no action of a policy: want lambda:InvokeFunction`},
		{one(gust.Allow, "lambda:InvokeFuntion", "*"), `[0].allow[0]: "lambda:InvokeFuntion" is no action of lambda, did you mean "InvokeFunction"?`},
		{one(gust.Allow, "lambda:InvokeFunction", "worker"), `[0].on[0]: want function:NAME, an ARN, or "*", got "worker"`},
		{one(gust.Allow, "sqs:SendMessage", "queue:orders"), `[0].on[0]: "queue:orders": there are no resources of kind queue in this version of gust; want function:NAME, an ARN, or "*"`},
		{one(gust.Allow, "lambda:InvokeFunction", "funtion:worker"), `got "funtion:worker", did you mean "function"?`},
		{one(gust.Allow, "lambda:InvokeFunction", "function:wor*"), `"function:wor*" names no function`},
		{one(gust.Allow, "sqs:SendMessage", "function:worker"), "nothing of what the entry lists, sqs:SendMessage, is done to a function"},
		{one(gust.Allow, "lambda:InvokeFunction", "arn:aws:lambda"), "[0].on[0]: want an ARN"},
		{with(gust.Grant{Sid: "a b"}), `[0].sid: "a b" is no Sid`},
		{twice, `[1].sid: the sid "A" stands twice in the list`},
		{with(gust.Grant{When: map[string]map[string][]string{"StringEqual": {"a:b": {"c"}}}}), `[0].when.StringEqual: "StringEqual" is no condition operator, did you mean "StringEquals"?`},
		{with(gust.Grant{When: map[string]map[string][]string{"Bool": {"a:b": {"true", "c"}}}}), `[0].when.Bool["a:b"][1]: want true or false, got "c"`},
		{with(gust.Grant{When: map[string]map[string][]string{"Bool": {"a:b": {}}}}), `[0].when.Bool["a:b"]: the list is empty`},
		{[]gust.Grant{{Effect: gust.Allow, Resources: []string{"*"}}}, `[0].allow: the list is empty`},
		{[]gust.Grant{{Effect: gust.Allow, Actions: []string{"a:B"}}}, `[0].on: the list is empty`},
		{many, "101 entries are above the maximum of 100"},
		{long, "above the maximum of 65536"},
		{wide, "[0]: a list of 1001 is above the maximum of 1000"},
	} {
		_, err := policy.FromGrants(gust.DefaultPlace, test.grants)
		if !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.300v\n gives %v\n want  %s", test.grants, err, test.want)
		}
	}
	for _, ok := range [][]gust.Grant{
		nil, with(gust.Grant{Sid: "A"}), one(gust.Deny, "*", "function:worker"), one(gust.Allow, "lambda:*", "function:worker"),
		one(gust.Allow, "gust:WarmFunction", "function:worker"),
		one(gust.Allow, "bedrock:InvokeModel", "*"), one(gust.Allow, "s3:GetObject", "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"),
	} {
		if _, err := policy.FromGrants(gust.DefaultPlace, ok); err != nil {
			t.Errorf("%v: %v", ok, err)
		}
	}
}
