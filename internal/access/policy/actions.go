package policy

import (
	_ "embed"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gust-dev/gust/internal/suggest"
)

//go:embed actions.txt
var actionList string

// actions are those that Gust knows, by service: as they are written, by name in
// lower case.
var actions = sync.OnceValue(func() map[string]map[string]string {
	all := make(map[string]map[string]string)
	service := ""
	for line := range strings.Lines(actionList) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if name, rest, ok := strings.Cut(line, ":"); ok {
			service, line = name, rest
			all[service] = make(map[string]string)
		}
		for action := range strings.FieldsSeq(line) {
			all[service][Lower(action)] = action
		}
	}
	return all
})

// operations are names that AWS's APIs have, and policies do not.
var operations = map[string]string{
	"lambda:invoke":                    "lambda:InvokeFunction",
	"lambda:invokewithresponsestream":  "lambda:InvokeFunction",
	"sqs:sendmessagebatch":             "sqs:SendMessage",
	"sqs:deletemessagebatch":           "sqs:DeleteMessage",
	"sqs:changemessagevisibilitybatch": "sqs:ChangeMessageVisibility",
	"sns:publishbatch":                 "sns:Publish",
	"dynamodb:transactgetitems":        "dynamodb:GetItem",
	"dynamodb:transactwriteitems":      "dynamodb:PutItem, UpdateItem, DeleteItem and ConditionCheckItem",
	"dynamodb:executestatement":        "dynamodb:PartiQLSelect, PartiQLInsert, PartiQLUpdate and PartiQLDelete",
	"s3:listbuckets":                   "s3:ListAllMyBuckets",
	"s3:listobjects":                   "s3:ListBucket",
	"s3:listobjectsv2":                 "s3:ListBucket",
	"s3:headobject":                    "s3:GetObject",
	"s3:headbucket":                    "s3:ListBucket",
	"s3:copyobject":                    "s3:GetObject and s3:PutObject",
	"s3:deleteobjects":                 "s3:DeleteObject",
	"s3:createmultipartupload":         "s3:PutObject",
	"s3:uploadpart":                    "s3:PutObject",
	"s3:completemultipartupload":       "s3:PutObject",
}

// checkKnown says what is wrong with an action that does not exist, or "". known
// tells that its service is known, or was most likely meant to be one that is.
func checkKnown(action string) (text string, known bool) {
	service, name, ok := strings.Cut(Lower(action), ":")
	if !ok || service == "*" {
		return "", true
	}
	all := actions()
	list, known := all[service]
	if !known {
		if hint := suggest.Word(service, maps.Keys(all)); hint != "" {
			return "there is no service " + quote(service) + hint, true
		}
		return "gust has no list of the actions of " + quote(service), false
	}
	if right := operations[service+":"+name]; right != "" {
		return quote(action) + " is an operation, and no action of a policy: want " + right, true
	}
	if len(matching(list, name)) > 0 {
		return "", true
	}
	if strings.ContainsAny(name, "*?") {
		return quote(action) + " is no action of " + service + " that gust knows: nothing matches the pattern", true
	}
	return quote(action) + " is no action of " + service + nearest(service, name, list), true
}

// nearest names what was most likely meant by a name that is no action of a
// service: an action that is close to it, the right one for an operation that is,
// or the only one that begins so.
func nearest(service, name string, list map[string]string) string {
	if hint := suggest.Word(name, maps.Values(list)); hint != "" {
		return hint
	}
	for _, operation := range slices.Sorted(maps.Keys(operations)) {
		if of, known, _ := strings.Cut(operation, ":"); of == service && suggest.Word(name, slices.Values([]string{known})) != "" {
			return ", did you mean " + operations[operation] + "?"
		}
	}
	if only := matching(list, name+"*"); name != "" && len(only) == 1 {
		return ", did you mean " + strconv.Quote(only[0]) + "?"
	}
	return ""
}

// matching are the actions of a service that a pattern in lower case takes, in
// order.
func matching(list map[string]string, name string) []string {
	if right, ok := list[name]; ok {
		return []string{right}
	}
	p, _ := syntax{wildcards: true}.compile(name) // checked before
	var found []string
	for _, known := range slices.Sorted(maps.Keys(list)) {
		if p.matches(known, nil) == yes {
			found = append(found, list[known])
		}
	}
	return found
}

// concerns tells whether an action of a service can be done to a resource of
// another one, by the third part of its ARN: functions, and who may what, are
// Gust's business too, and roles are assumed by sts.
func concerns(action pattern, resource string) bool {
	service, _, _ := strings.Cut(Lower(action.raw), ":")
	return service == "*" || service == resource || service == "gust" && (resource == "lambda" || resource == "iam") || service == "sts" && resource == "iam"
}
