package policy

import (
	"slices"
	"strings"

	"github.com/gust-dev/gust/internal/suggest"
)

// presence is whether the ARNs of a service have a part.
type presence int

const (
	always presence = iota
	sometimes
	never
)

// arnForm is how the ARNs of a service look.
type arnForm struct {
	example         string
	region, account presence
	// bare: without a region and an account, too, and then the last part is a
	// name of any form.
	bare bool
	// kinds are what the last part begins with, up to a colon or a slash; none:
	// with a name.
	kinds []string
}

// arnForms are those of the services whose actions are known (the resource types
// in the Service Authorization Reference). Nothing changes them.
var arnForms = map[string]arnForm{
	"cloudwatch": {example: "arn:aws:cloudwatch:REGION:ACCOUNT:alarm:NAME", region: sometimes,
		kinds: []string{"alarm", "alarm-mute-rule", "dashboard", "insight-rule", "metric-stream", "service", "slo"}},
	"dynamodb": {example: "arn:aws:dynamodb:REGION:ACCOUNT:table/NAME", region: sometimes, kinds: []string{"global-table", "table"}},
	"events": {example: "arn:aws:events:REGION:ACCOUNT:rule/NAME", account: sometimes,
		kinds: []string{"api-destination", "archive", "connection", "endpoint", "event-bus", "event-source", "replay", "rule"}},
	"gust": {example: "arn:aws:gust:REGION:ACCOUNT:app/NAME", kinds: []string{"app", "artifact", "runtime"}},
	"iam": {example: "arn:aws:iam::ACCOUNT:role/NAME", region: never,
		kinds: []string{"access-report", "assumed-role", "delegation-request", "federated-user", "group", "instance-profile", "mfa", "oidc-provider", "policy",
			"role", "root", "saml-provider", "server-certificate", "sms-mfa", "u2f", "user"}},
	"kinesis": {example: "arn:aws:kinesis:REGION:ACCOUNT:stream/NAME", kinds: []string{"stream"}},
	"lambda": {example: "arn:aws:lambda:REGION:ACCOUNT:function:NAME",
		kinds: []string{"capacity-provider", "code-signing-config", "event-source-mapping", "function", "layer"}},
	"logs": {example: "arn:aws:logs:REGION:ACCOUNT:log-group:NAME:*",
		kinds: []string{"anomaly-detector", "delivery", "delivery-destination", "delivery-source", "destination", "log-group", "lookup-table", "scheduled-query"}},
	"s3": {example: "arn:aws:s3:::BUCKET/KEY", bare: true,
		kinds: []string{"access-grants", "accesspoint", "async-request", "job", "storage-lens", "storage-lens-group"}},
	"scheduler":      {example: "arn:aws:scheduler:REGION:ACCOUNT:schedule/GROUP/NAME", kinds: []string{"schedule", "schedule-group"}},
	"secretsmanager": {example: "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-??????", kinds: []string{"secret"}},
	"sns":            {example: "arn:aws:sns:REGION:ACCOUNT:NAME"},
	"sqs":            {example: "arn:aws:sqs:REGION:ACCOUNT:NAME"},
	"states": {example: "arn:aws:states:REGION:ACCOUNT:stateMachine:NAME",
		kinds: []string{"activity", "execution", "express", "mapRun", "stateMachine"}},
	"sts": {example: "arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION", region: never, kinds: []string{"assumed-role", "federated-user", "self"}},
}

// checkARN says why no resource has such an ARN, or returns "". It takes the parts
// for what they stand for in their places; since a * takes colons, too, those
// behind one are not looked at where they may stand elsewhere.
func checkARN(s string, variables bool) string {
	parts := splitPattern(s, variables)
	if len(parts) < 4 || variables && strings.Contains(strings.Join(parts[:min(len(parts), arnParts-1)], ""), "${") {
		return "" // of no ARN, or known when there is a request
	}
	if p := parts[1]; !strings.ContainsAny(p, "*?") && !slices.Contains([]string{"aws", "aws-cn", "aws-us-gov"}, p) {
		return "there is no partition " + quote(p) + ", the second part of an ARN: want aws"
	}
	service := parts[2]
	form, known := arnForms[service]
	if !known {
		return ""
	}
	want := "; an ARN of " + service + " is " + form.example
	starred := false
	for i, part := range parts[3:min(len(parts), arnParts-1)] {
		name, is, fits := "region", form.region, fitsRegion
		if i == 1 {
			name, is, fits = "account", form.account, fitsAccount
		}
		switch {
		case starred && !fits(part):
			return ""
		case part == "" && is == always && !form.bare:
			return "the ARN has no " + name + want
		case !fits(part), is == never && strings.Trim(part, "*?") != "":
			return quote(part) + " stands where the " + name + " belongs" + want
		}
		starred = starred || strings.Contains(part, "*")
	}
	if len(parts) < arnParts || form.kinds == nil || form.bare && (starred || parts[3]+parts[4] == "") {
		return ""
	}
	if kind, ok := form.has(parts[5], starred, variables); !ok {
		return "there is no " + quote(kind) + " of " + service + suggest.Word(kind, slices.Values(form.kinds)) + want
	}
	return ""
}

func fitsRegion(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-*?") == ""
}

// fitsAccount: AWS's own managed policies are in the account "aws".
func fitsAccount(s string) bool {
	return s == "" || s == "aws" || isAccount(s) || strings.ContainsAny(s, "*?") && strings.Trim(s, "0123456789*?") == ""
}

// has tells whether the last part of a pattern can be that of a resource, and the
// kind that it names, as far as it does. starred tells that a * stands before it,
// which may take the kind.
func (f *arnForm) has(last string, starred, variables bool) (kind string, ok bool) {
	end := strings.IndexAny(last, ":/*?")
	if v := strings.Index(last, "${"); variables && v >= 0 && (end < 0 || v < end) {
		end = v
	}
	if end < 0 {
		return last, starred || slices.Contains(f.kinds, last)
	}
	kind = last[:end]
	if last[end] == ':' || last[end] == '/' {
		return kind, slices.Contains(f.kinds, kind)
	}
	return kind, starred || slices.ContainsFunc(f.kinds, func(k string) bool { return strings.HasPrefix(k, kind) })
}
