package identity

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
)

// Each policy of AWS's that Gust has grants what its name says, and no more.
func TestAWSPoliciesGrantWhatTheySay(t *testing.T) {
	d, _ := open(t, options())
	_, key := user(t, d, "alice", "")
	for _, p := range d.Policies() {
		if _, err := p.document().parsed(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	for name, test := range map[string]struct{ may, not string }{
		"AdministratorAccess":                          {"iam:CreateUser sqs:SendMessage anything:AtAll", ""},
		"PowerUserAccess":                              {"sqs:SendMessage lambda:InvokeFunction iam:ListRoles sts:AssumeRole", "iam:CreateUser iam:PassRole organizations:LeaveOrganization"},
		"ReadOnlyAccess":                               {"lambda:GetFunction sqs:GetQueueUrl s3:GetObject iam:GetUser dynamodb:Query logs:FilterLogEvents", "lambda:InvokeFunction sqs:SendMessage s3:PutObject iam:CreateUser dynamodb:PutItem secretsmanager:GetSecretValue"},
		"IAMFullAccess":                                {"iam:CreateUser iam:PassRole", "sqs:SendMessage sts:AssumeRole"},
		"IAMReadOnlyAccess":                            {"iam:GetUser iam:ListRoles iam:SimulatePrincipalPolicy", "iam:CreateUser"},
		"AWSLambda_FullAccess":                         {"lambda:CreateFunction lambda:InvokeFunction", "sqs:SendMessage iam:CreateRole"},
		"AWSLambda_ReadOnlyAccess":                     {"lambda:GetFunction lambda:ListFunctions", "lambda:InvokeFunction lambda:CreateFunction"},
		"service-role/AWSLambdaBasicExecutionRole":     {"logs:CreateLogGroup logs:PutLogEvents", "logs:GetLogEvents sqs:ReceiveMessage"},
		"service-role/AWSLambdaRole":                   {"lambda:InvokeFunction", "lambda:GetFunction"},
		"AmazonSQSFullAccess":                          {"sqs:SendMessage sqs:CreateQueue", "sns:Publish"},
		"AmazonSNSFullAccess":                          {"sns:Publish sns:CreateTopic", "sqs:SendMessage"},
		"AmazonS3FullAccess":                           {"s3:PutObject s3:DeleteBucket", "sqs:SendMessage"},
		"AmazonS3ReadOnlyAccess":                       {"s3:GetObject s3:ListBucket", "s3:PutObject"},
		"AmazonDynamoDBFullAccess":                     {"dynamodb:PutItem dynamodb:CreateTable", "s3:GetObject"},
		"AmazonDynamoDBReadOnlyAccess":                 {"dynamodb:GetItem dynamodb:Query", "dynamodb:PutItem"},
		"service-role/AWSLambdaSQSQueueExecutionRole":  {"sqs:ReceiveMessage sqs:DeleteMessage logs:PutLogEvents", "sqs:SendMessage"},
		"service-role/AWSLambdaDynamoDBExecutionRole":  {"dynamodb:GetRecords dynamodb:ListStreams logs:PutLogEvents", "dynamodb:PutItem"},
		"AmazonEventBridgeFullAccess":                  {"events:PutEvents events:PutRule", "sqs:SendMessage"},
		"AWSStepFunctionsFullAccess":                   {"states:StartExecution states:CreateStateMachine", "lambda:InvokeFunction"},
		"SecretsManagerReadWrite":                      {"secretsmanager:GetSecretValue secretsmanager:PutSecretValue", "s3:PutObject"},
		"CloudWatchLogsFullAccess":                     {"logs:PutLogEvents logs:DeleteLogGroup", "sqs:SendMessage"},
		"service-role/AWSLambdaVPCAccessExecutionRole": {"logs:PutLogEvents ec2:CreateNetworkInterface", "logs:GetLogEvents sqs:ReceiveMessage"},
		"AWSXRayDaemonWriteAccess":                     {"xray:PutTraceSegments xray:GetSamplingRules", "xray:GetTraceSummaries"},
		"AWSXrayWriteOnlyAccess":                       {"xray:PutTraceSegments", "xray:GetTraceSummaries"},
		"CloudWatchLambdaInsightsExecutionRolePolicy":  {"logs:CreateLogGroup", "logs:PutLogEvents"}, // of a log group of its own
		"AmazonKinesisFullAccess":                      {"kinesis:PutRecord kinesis:CreateStream", "logs:PutLogEvents"},
		"CloudWatchFullAccess":                         {"cloudwatch:PutMetricData logs:PutLogEvents sns:Publish", "sqs:SendMessage iam:CreateServiceLinkedRole"},
		"SecurityAudit":                                {"iam:ListUsers lambda:GetPolicy sqs:GetQueueAttributes", "lambda:InvokeFunction s3:GetObject sqs:ReceiveMessage"},
		"job-function/ViewOnlyAccess":                  {"lambda:ListFunctions sqs:ListQueues iam:ListUsers", "lambda:GetFunction s3:GetObject"},
	} {
		arn := "arn:aws:iam::aws:policy/" + name
		if err := d.Attach(t.Context(), User("alice"), arn); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, action := range strings.Fields(test.may) {
			if !may(t, d, key.ID, "", action, "*") {
				t.Errorf("%s does not grant %s", name, action)
			}
		}
		for _, action := range strings.Fields(test.not) {
			if may(t, d, key.ID, "", action, "*") {
				t.Errorf("%s grants %s", name, action)
			}
		}
		must(t, d.Detach(t.Context(), User("alice"), arn))
		p, err := d.Policy(arn)
		must(t, err)
		if !p.AWS || !strings.HasSuffix(p.ARN, p.Path+p.Name) || p.document().IsZero() || !strings.HasPrefix(p.ID, "ANPA") {
			t.Errorf("%s is %+v", name, p)
		}
		if err := d.DeletePolicy(t.Context(), arn); !errors.As(err, new(*UnmodifiableError)) {
			t.Errorf("deleting %s: %v", name, err)
		}
	}
	err := d.Attach(t.Context(), User("alice"), "arn:aws:iam::aws:policy/AmazonEC2FullAccess")
	if !errors.As(err, new(*NotFoundError)) || !strings.Contains(err.Error(), "AmazonEC2FullAccess") {
		t.Errorf("a policy that Gust has not: %v", err)
	}
}

// TestConditionKeys asks for each key that every request has, by a condition
// that allows if its value is the wanted one, or "" if it is not there.
func TestConditionKeys(t *testing.T) {
	at := newClock()
	o := at.options()
	o.Functions = func() map[string]*gust.Function { return map[string]*gust.Function{"api": {Name: "api", App: "shop"}} }
	d, _ := open(t, o)
	byKey, _ := user(t, d, "alice", "")
	must(t, d.Tag(t.Context(), User("alice"), map[string]string{"Team": "blue"}))
	byKey = caller(t, d, byKey.KeyID, "")
	r := role(t, d, "worker", trust(alice, ""), "")
	s, err := d.AssumeRole(byKey, AssumeRole{RoleARN: r.ARN, SessionName: "run", Limits: Limits{SourceIdentity: "alice", Tags: map[string]string{"Project": "x"}}})
	must(t, err)
	ofRole := caller(t, d, s.KeyID, s.Token)
	s, err = d.FunctionSession("api", "env-1", time.Hour)
	must(t, err)
	ofFunction := caller(t, d, s.KeyID, s.Token)
	ofFunction.Environment, ofFunction.Source = "env-1", netip.MustParseAddr("127.0.0.1")
	for _, c := range []*access.Caller{byKey, ofRole} {
		c.Source, c.Secure, c.UserAgent, c.Region = netip.MustParseAddr("192.0.2.7"), true, "aws-cli/2", "us-west-2"
	}
	root := &access.Caller{Credential: d.root, At: at.now}
	all := map[string]*access.Caller{"key": byKey, "role": ofRole, "function": ofFunction, "root": root}
	n := &access.Need{Action: "sqs:SendMessage", Resource: "arn:aws:sqs:eu-west-1:999999999999:q", Keys: map[string][]string{
		"sqs:own": {"a", "b"}, "aws:principalarn": {"a lie"}, "aws:sourcearn": {"a lie"}, "aws:username": {"a lie"}}}
	for _, test := range []struct {
		key                        string
		key_, role, function, root string
	}{
		{"aws:principalarn", alice, r.ARN, account + "role/gust/fn.api", account + "root"},
		{"aws:principalaccount", "123456789012", "123456789012", "123456789012", "123456789012"},
		{"aws:principaltype", "User", "AssumedRole", "AssumedRole", "Account"},
		{"aws:principaltag/team", "blue", "", "", ""},
		{"aws:principaltag/project", "", "x", "", ""},
		{"aws:userid", byKey.Principal.ID, r.ID + ":run", ofFunction.Principal.ID, "123456789012"},
		{"aws:username", "alice", "", "", ""},
		{"aws:sourceip", "192.0.2.7", "192.0.2.7", "", ""},
		{"aws:securetransport", "true", "true", "false", "false"},
		{"aws:currenttime", "2026-11-25T12:00:00Z", "2026-11-25T12:00:00Z", "2026-11-25T12:00:00Z", "2026-11-25T12:00:00Z"},
		{"aws:epochtime", "1795608000", "1795608000", "1795608000", "1795608000"},
		{"aws:tokenissuetime", "", "2026-11-25T12:00:00Z", "2026-11-25T12:00:00Z", ""},
		{"aws:multifactorauthpresent", "", "false", "false", ""},
		{"aws:useragent", "aws-cli/2", "aws-cli/2", "", ""},
		{"aws:requestedregion", "us-west-2", "us-west-2", "eu-west-1", "eu-west-1"},
		{"aws:resourceaccount", "999999999999", "999999999999", "999999999999", "999999999999"},
		{"aws:sourceidentity", "", "alice", "", ""},
		{"aws:viaawsservice", "false", "false", "false", "false"},
		{"aws:calledvia", "", "", "", ""},
		{"aws:sourcearn", "", "", "", ""},
		{"aws:federatedprovider", "", "", "", ""},
		{"lambda:sourcefunctionarn", "", "", "arn:aws:lambda:eu-west-1:123456789012:function:api", ""},
		{"sqs:own", "a,b", "a,b", "a,b", "a,b"},
		{"sqs:other", "", "", "", ""},
	} {
		for who, want := range map[string]string{"key": test.key_, "role": test.role, "function": test.function, "root": test.root} {
			q := ask(d.place, all[who], n)
			if got := strings.Join(q.value(test.key), ","); got != want {
				t.Errorf("%s of %s is %q, want %q", test.key, who, got, want)
			}
			q.release()
		}
	}
}

func TestResourcePolicies(t *testing.T) {
	functions := map[string]*gust.Function{"api": {Name: "api", App: "shop"}}
	o := options()
	o.Functions = func() map[string]*gust.Function { return functions }
	d, s := open(t, o)
	_, key := user(t, d, "alice", allow("s3:*", "*"))
	_, bob := user(t, d, "bob", "")
	arn := place.FunctionARN("api")
	set := func(arn, document string) error {
		return d.ChangeResourcePolicy(t.Context(), arn, func(string) (string, error) { return document, nil })
	}
	must(t, set(arn, statement("Allow", `{"AWS":"`+alice+`"}`, "lambda:InvokeFunction", arn, "")))
	must(t, set("arn:aws:s3:::photos", statement("Deny", `"*"`, "s3:DeleteObject", "arn:aws:s3:::photos/*", "")))
	must(t, d.Close())
	d = openOn(t, s, o)
	for _, test := range []struct {
		key, action, resource string
		want                  bool
	}{
		{key.ID, "lambda:InvokeFunction", arn, true}, {key.ID, "lambda:GetFunction", arn, false}, {bob.ID, "lambda:InvokeFunction", arn, false},
		{key.ID, "lambda:InvokeFunction", place.FunctionARN("other"), false},
		{key.ID, "s3:GetObject", "arn:aws:s3:::photos/a", true}, {key.ID, "s3:DeleteObject", "arn:aws:s3:::photos/a", false},
		{key.ID, "s3:DeleteObject", "arn:aws:s3:::other/a", true},
	} {
		if may(t, d, test.key, "", test.action, test.resource) != test.want {
			t.Errorf("%s on %s: want %v", test.action, test.resource, test.want)
		}
	}
	// Who was named stays so under another name, and so do denials.
	must(t, set(queue, statement("Deny", `{"AWS":"`+alice+`"}`, "sqs:*", queue, "")))
	must(t, d.PutInline(t.Context(), User("alice"), "queues", allow("sqs:*", "*")))
	must(t, d.Rename(t.Context(), User("alice"), "alicia", "/x/"))
	if !may(t, d, key.ID, "", "lambda:InvokeFunction", arn) || may(t, d, key.ID, "", "sqs:SendMessage", queue) {
		t.Error("who is renamed is somebody else")
	}
	must(t, d.Rename(t.Context(), User("alicia"), "alice", "/"))
	must(t, d.DeleteInline(t.Context(), User("alice"), "queues"))
	// Who gets the name of who was named is not meant.
	must(t, d.DeleteKey(t.Context(), "alice", key.ID))
	must(t, d.DeleteInline(t.Context(), User("alice"), "own"))
	must(t, d.Delete(t.Context(), User("alice")))
	_, key = user(t, d, "alice", "")
	if may(t, d, key.ID, "", "lambda:InvokeFunction", arn) {
		t.Error("another alice may invoke what the first might")
	}
	// Nor does a function that gets the name of one that is gone inherit.
	functions = nil
	must(t, d.Sweep(t.Context()))
	if _, err := d.ResourcePolicy(arn); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("the policy of a function that is gone: %v", err)
	}
	if _, err := d.ResourcePolicy("arn:aws:s3:::photos"); err != nil {
		t.Error(err)
	}
	must(t, set("arn:aws:s3:::photos", ""))
	if _, err := d.ResourcePolicy("arn:aws:s3:::photos"); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("a policy that was removed: %v", err)
	}
	for _, arn := range []string{"", "photos", "arn:aws:s3:::*", "arn:aws:s3:::" + strings.Repeat("x", 2048)} {
		if err := set(arn, statement("Deny", `"*"`, "s3:*", "*", "")); !errors.Is(err, gust.ErrInvalid) {
			t.Errorf("a policy of %.20q: %v", arn, err)
		}
	}
}

func TestExplain(t *testing.T) {
	o := options()
	o.Functions = func() map[string]*gust.Function {
		return map[string]*gust.Function{"api": {Name: "api", App: "shop", Policy: []gust.Grant{{Effect: gust.Allow, Actions: []string{"sqs:*"}, Resources: []string{"*"}}}}}
	}
	d, _ := open(t, o)
	user(t, d, "alice", allow("sqs:*", "*"))
	role(t, d, "worker", trust(alice, ""), allow("sqs:*", "*"))
	for who, want := range map[string]string{
		"root": "", account + "root": "",
		"alice": "inline policy own of user alice", "ALICE": "inline policy own of user alice", alice: "inline policy own of user alice", "user/alice": "inline policy own of user alice",
		"worker": "inline policy own of role worker", "role/worker": "inline policy own of role worker", account + "role/worker": "inline policy own of role worker",
		"arn:aws:sts::123456789012:assumed-role/worker/run": "inline policy own of role worker",
		"fn.api": "inline policy policy of role fn.api", "role/fn.api": "inline policy policy of role fn.api", account + "role/gust/fn.api": "inline policy policy of role fn.api",
	} {
		e, err := d.Explain(who, "sqs:SendMessage", queue, nil)
		if err != nil || !e.Allowed || e.Policy != want {
			t.Errorf("%s: %+v, %v", who, e.Decision, err)
		}
	}
	if e, err := d.Explain("alice", "s3:GetObject", "*", nil); err != nil || e.Allowed || len(e.Statements) != 1 {
		t.Errorf("what is not allowed: %+v, %v", e, err)
	}
	for _, who := range []string{"", "nobody", account + "user/nobody", "group/x", "arn:aws:iam::999999999999:user/alice", "role/alice"} {
		if _, err := d.Explain(who, "sqs:SendMessage", queue, nil); !errors.Is(err, gust.ErrNotFound) {
			t.Errorf("%q: %v", who, err)
		}
	}
}

func TestLayersAreToBeTriedWithOthers(t *testing.T) {
	d, _ := open(t, options())
	user(t, d, "alice", allow("sqs:*", "*"))
	_, err := d.CreateGroup(t.Context(), NewEntity{Name: "devs"})
	must(t, err)
	must(t, d.PutInline(t.Context(), Group("devs"), "own", allow("s3:*", "*")))
	must(t, d.AddToGroup(t.Context(), "devs", "alice"))
	for who, want := range map[string]int{"alice": 2, alice: 2, account + "group/devs": 1} {
		l, subject, err := d.Layers(who)
		if err != nil || len(l.Identity) != want || (subject != nil && subject.ARN == alice) != (want == 2) {
			t.Errorf("%s: %d policies of %+v, %v", who, len(l.Identity), subject, err)
		}
	}
	if l, subject, err := d.Layers("root"); err != nil || !l.Root || subject.Kind != "root" {
		t.Errorf("root: %+v, %v", subject, err)
	}
	if _, _, err := d.Layers("nobody"); !errors.Is(err, gust.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if s, err := d.Subject("alice"); err != nil || s.ARN != alice {
		t.Errorf("alice is %+v, %v", s, err)
	}
}

func TestTheAnonymousMayWhatEverybodyMay(t *testing.T) {
	d, _ := open(t, options())
	must(t, d.ChangeResourcePolicy(t.Context(), "arn:aws:s3:::site", func(string) (string, error) {
		return statement("Allow", `"*"`, "s3:GetObject", "arn:aws:s3:::site/*", ""), nil
	}))
	c := &access.Caller{Credential: &access.Credential{Principal: &access.Principal{Kind: access.KindAnonymous}}, At: d.now()}
	for action, want := range map[string]bool{"s3:GetObject": true, "s3:PutObject": false} {
		if got := d.Decide(c, &access.Need{Action: action, Resource: "arn:aws:s3:::site/index.html"}).Allowed; got != want {
			t.Errorf("%s: %v", action, got)
		}
	}
}

func TestDecidingCostsNoMemoryUnlessAConditionAsks(t *testing.T) {
	d, _ := open(t, options())
	c, key := user(t, d, "alice", allow("sqs:*", queue))
	r := role(t, d, "worker", trust(alice, ""), allow("sqs:*", queue))
	s, err := d.AssumeRole(c, AssumeRole{RoleARN: r.ARN, SessionName: "run", Limits: Limits{PolicyARNs: []string{awsPolicies + "AmazonSQSFullAccess"}}})
	must(t, err)
	must(t, d.ChangeResourcePolicy(t.Context(), queue, func(string) (string, error) {
		return statement("Allow", `{"AWS":"`+alice+`"}`, "sqs:DeleteQueue", queue, ""), nil
	}))
	n := &access.Need{Action: "sqs:SendMessage", Resource: queue}
	now := d.now()
	for what, k := range map[string][2]string{"a key": {key.ID, ""}, "a session": {s.KeyID, s.Token}} {
		c := new(access.Caller)
		if got := testing.AllocsPerRun(100, func() {
			if c.Credential, err = d.Lookup(k[0], k[1]); err != nil {
				t.Error(err)
			}
			if !d.Decide(c, n).Allowed {
				t.Error("denied")
			}
			d.Used(c.Credential, "sqs", "eu-west-1", now)
		}); got >= 1 { // the race detector empties the pool now and then
			t.Errorf("%s: %v allocations", what, got)
		}
	}
}
