package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity is how bad a finding is.
type Severity string

const (
	// SeverityError: the document is refused.
	SeverityError Severity = "error"
	// SeverityWarning: it most likely does something else than was meant, or
	// allows more.
	SeverityWarning Severity = "warning"
	// SeverityNote: worth knowing.
	SeverityNote Severity = "note"
)

// Finding is one thing that a look at a document found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Line and Column count from 1, columns in characters.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Path is where, such as "Statement[2].Condition"; Statement is the Sid of
	// the statement, or "#2", or empty.
	Path      string `json:"path"`
	Statement string `json:"statement,omitempty"`
	// Text says what is wrong, and Do what to do.
	Text string `json:"text"`
	Do   string `json:"do"`
}

// Lint looks a document over. Its kind is told from what its statements have: a
// principal makes it a resource's policy, or a trust policy if there is no
// resource. What Parse refuses is found alone; the findings are in the order of
// the document.
func Lint(doc []byte) []Finding {
	p := &parser{reader: reader{source: doc}, labels: make(map[string]bool)}
	root := p.read()
	list := root.get("Statement").list()
	p.kind = kindFrom(list)
	d := p.document(root)
	l := &linter{p: p, document: d, nodes: list}
	if len(p.problems) > 0 {
		for _, problem := range p.problems {
			l.found = append(l.found, Finding{Severity: SeverityError, Line: problem.Line, Column: problem.Column, Path: problem.Path,
				Text: problem.Text, Do: "correct it: the document is refused as it is"})
		}
		return l.found
	}
	l.version(root)
	for i := range d.statements {
		l.statement(&d.statements[i], list[i])
	}
	l.shadows()
	slices.SortStableFunc(l.found, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return l.found
}

func kindFrom(statements []*node) Kind {
	kind := Identity
	for _, n := range statements {
		if n.get("Principal") == nil && n.get("NotPrincipal") == nil {
			continue
		}
		if kind = Trust; n.get("Resource") != nil || n.get("NotResource") != nil {
			return Resource
		}
	}
	return kind
}

// get is a member of an object, or nil.
func (n *node) get(key string) *node {
	if n != nil {
		for _, m := range n.members {
			if m.key == key {
				return m.value
			}
		}
	}
	return nil
}

// list is a value as a list: of itself, if it is none.
func (n *node) list() []*node {
	if n == nil || n.kind == isList {
		if n == nil {
			return nil
		}
		return n.items
	}
	return []*node{n}
}

type linter struct {
	p        *parser
	document *Document
	nodes    []*node
	found    []Finding
	current  string // the label of the statement that is looked at
}

func (l *linter) add(severity Severity, n *node, do, format string, args ...any) {
	line, column := l.p.at(n.offset)
	l.found = append(l.found, Finding{Severity: severity, Line: line, Column: column, Path: n.path, Statement: l.current,
		Text: fmt.Sprintf(format, args...), Do: do})
}

// version tells of what an older version of the language does otherwise.
func (l *linter) version(root *node) {
	if l.p.kind == Identity && root.get("Id") != nil {
		l.add(SeverityNote, root.get("Id"), "leave it out", "an Id has no meaning in a policy of a user, a group or a role")
	}
	if l.p.variables {
		return
	}
	what := "the document has no Version, and is read as 2008-10-17"
	if root.get("Version") != nil {
		what = "the document is of version 2008-10-17"
	}
	const do = `write "Version": "2012-10-17"`
	at := root
	if v := root.get("Version"); v != nil {
		at = v
	}
	if strings.Contains(string(l.p.source), "${") {
		l.add(SeverityWarning, at, do, "%s, in which variables such as ${aws:username} are not expanded: they are compared as they are written", what)
	} else {
		l.add(SeverityNote, at, do, "%s, which has no variables", what)
	}
}

func (l *linter) statement(s *statement, n *node) {
	l.current = s.label
	l.actions(s, n)
	l.resources(s, n)
	if s.principals != nil {
		l.principals(s, n)
	}
	l.conditions(s, n)
	l.current = ""
}

// actions looks for typos, and for more than was meant.
func (l *linter) actions(s *statement, n *node) {
	key := "Action"
	if s.notActions {
		key = "NotAction"
	}
	for _, item := range n.get(key).list() {
		if text, known := checkKnown(item.text); text != "" && known {
			l.add(SeverityWarning, item, "correct the name: as it is, the entry does nothing", "%s", text)
		} else if text != "" {
			l.add(SeverityNote, item, "compare it with the service's own documentation", "%s, so that typos in it are not found", text)
		}
		service, name, _ := strings.Cut(item.text, ":")
		if s.deny || s.notActions || l.p.kind == Trust {
			continue
		}
		switch {
		case service == "*":
			l.add(SeverityWarning, item, "list the actions that are needed", "every action of every service is allowed, those that do not exist yet too")
		case strings.Trim(name, "*?") == "":
			l.add(SeverityWarning, item, "list the actions that are needed", "every action of %s is allowed, those that do not exist yet too", service)
		}
	}
	if s.notActions && !s.deny {
		l.add(SeverityWarning, n.get(key), "list in Action what is needed, or deny with NotAction",
			"NotAction with Allow allows everything else, of every service, those that do not exist yet too")
	}
}

// resources looks for stars, and for resources that no action is about.
func (l *linter) resources(s *statement, n *node) {
	key := "Resource"
	if s.notResources {
		key = "NotResource"
	}
	if s.notResources && !s.deny {
		l.add(SeverityWarning, n.get(key), "list in Resource what is meant, or deny with NotResource",
			"NotResource with Allow is every other resource, also those that do not exist yet")
	}
	for _, item := range n.get(key).list() {
		wrong := ""
		if item.text != "*" {
			wrong = checkARN(item.text, l.p.variables)
		}
		if wrong != "" {
			l.add(SeverityWarning, item, "correct the ARN: as it is, the entry does nothing", "%s", wrong)
		}
		if wrong != "" || s.notResources || s.notActions {
			continue
		}
		l.star(s, item)
		if item.text == "*" {
			continue
		}
		of := Lower(splitPattern(item.text, l.p.variables)[2])
		if !slices.ContainsFunc(s.actions, func(a pattern) bool { return concerns(a, of) }) {
			l.add(SeverityWarning, item, "name a resource of the actions' service, or an action of the resource's",
				"the resource is of %s, and none of the statement's actions is: nothing matches both", of)
		}
	}
}

// star tells of a statement about every resource, or about all of a service.
func (l *linter) star(s *statement, n *node) {
	all, roles := l.every(n.text)
	if s.deny || l.p.kind != Identity || !all && !roles {
		return
	}
	var writing []string
	for _, a := range s.actions {
		switch action := Lower(a.raw); {
		case strings.HasPrefix(action, "*"): // told of as an action
		case takes(a, "iam:passrole"):
			l.add(SeverityWarning, n, `name the roles: "Resource": "arn:aws:iam::ACCOUNT:role/NAME", and the service in iam:PassedToService`,
				"iam:PassRole on every role lets who has it run with the rights of any role there is")
		case takes(a, "sts:assumerole"):
			l.add(SeverityWarning, n, `name the roles: "Resource": "arn:aws:iam::ACCOUNT:role/NAME"`,
				"sts:AssumeRole on every role takes any role whose trust policy names the account")
		case all && writes(action):
			writing = append(writing, a.raw)
		}
	}
	if len(writing) > 0 && len(s.conditions) == 0 {
		of := ""
		if parts := strings.SplitN(n.text, ":", 4); len(parts) == 4 {
			of = " of " + parts[2]
		}
		l.add(SeverityWarning, n, "name the resources that are meant, or add a condition", "%s can change things, and is allowed on every resource%s",
			shorten(strings.Join(writing, ", ")), of)
	}
}

// every tells whether a resource is each that there is or that a service has, such
// as arn:aws:lambda:* and arn:aws:s3:::*, and whether it is each role.
func (l *linter) every(resource string) (all, roles bool) {
	parts := splitPattern(resource, l.p.variables)
	last := parts[len(parts)-1]
	return strings.Contains(last, "*") && strings.Trim(last, "*?/:") == "", len(parts) == arnParts && parts[2] == "iam" && last == "role/*"
}

// takes tells whether an action's pattern takes an action, and is of its service.
func takes(a pattern, action string) bool {
	return a.matches(action, nil) == yes && !strings.HasPrefix(a.raw, "*")
}

// readers are the verbs of actions that change nothing.
var readers = []string{"get", "list", "describe", "head", "read", "plan", "batchget", "query", "scan", "lookup", "filter", "test", "simulate", "search", "view",
	"check", "decode", "partiqlselect", "conditioncheck", "receive", "startquery", "stopquery", "generateservicelast", "generatecredentialreport"}

// everywhere are actions that change something, or are no readers by their names, and
// have no resource of their own, or none that can be named before it is there.
var everywhere = []string{"cloudwatch:putmetricdata", "gust:backup", "gust:profile", "gust:putartifact", "lambda:createeventsourcemapping",
	"iam:createaccountalias", "iam:deleteaccountalias", "iam:updateaccountpasswordpolicy", "iam:deleteaccountpasswordpolicy", "sns:publish",
	"sts:setsourceidentity", "sts:tagsession"}

// writes tells whether an action, in lower case, can change something.
func writes(action string) bool {
	_, name, _ := strings.Cut(action, ":")
	return strings.Trim(name, "*?") != "" && !slices.Contains(everywhere, action) &&
		!slices.ContainsFunc(readers, func(verb string) bool { return strings.HasPrefix(name, verb) })
}

func (l *linter) principals(s *statement, n *node) {
	p := s.principals
	for _, provider := range p.federated {
		if wrong := checkARN(provider, false); wrong != "" {
			l.add(SeverityWarning, cmp.Or(n.get("Principal"), n.get("NotPrincipal")), "correct the ARN: as it is, it names nobody", "%s", wrong)
		}
	}
	switch {
	case p.not && !s.deny:
		l.add(SeverityWarning, n.get("NotPrincipal"), "list in Principal who is meant", "NotPrincipal with Allow lets everybody else in, anonymous users too")
	case p.not:
		l.add(SeverityNote, n.get("NotPrincipal"), `use "Principal": "*" and the condition ArnNotEquals on aws:PrincipalArn`,
			"NotPrincipal with Deny denies all who have a permissions boundary, and spares a user or a session only if the account and the role are listed with it")
	case p.everybody && !s.deny && len(s.conditions) == 0:
		l.add(SeverityWarning, n.get("Principal"), "name who is meant, or add a condition", "everybody is let in, anonymous users too")
	case len(p.services) > 0 && !s.deny && l.p.kind == Resource && !slices.ContainsFunc(s.conditions, func(c condition) bool {
		return c.lookup == "aws:sourcearn" || c.lookup == "aws:sourceaccount"
	}):
		l.add(SeverityWarning, n.get("Principal"), "add the condition ArnLike on aws:SourceArn, or StringEquals on aws:SourceAccount",
			"a service is let in for whoever makes it act (the confused deputy)")
	}
}
