package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gust-dev/gust/internal/suggest"
)

// Limits on documents. What a directory takes may be less: AWS's largest policy,
// of a bucket, has 20 KB.
const (
	// MaxDocument bounds a document in bytes.
	MaxDocument = 64 << 10
	// MaxStatements bounds the statements of a document.
	MaxStatements = 1000
	// MaxValues bounds the values of one condition, and each list of a statement.
	MaxValues = 1000
	// MaxAction and MaxResource bound what a request may be about, in bytes;
	// nothing allows what is longer.
	MaxAction   = 256
	MaxResource = 4096
	// MaxValue bounds each value of a request's condition key, in bytes, as
	// maxString does the policy's side, and MaxValues how many a key has. Of
	// what is more no condition of an Allow holds, and each of a Deny does.
	MaxValue = 2048

	maxDepth     = 10
	maxString    = 2048
	maxKey       = 512
	maxWildcards = 64
)

// The two versions of the language. Without one it is the older, which has no
// variables.
const (
	version2012 = "2012-10-17"
	version2008 = "2008-10-17"
)

// statement is one statement, made ready.
type statement struct {
	label        string // its Sid, or "#2"
	line         int
	deny         bool
	notActions   bool
	notResources bool
	actions      []pattern
	resources    []pattern
	principals   *principals // nil in documents of kind Identity
	conditions   []condition
}

// parser checks the JSON of one document, and makes it ready.
type parser struct {
	reader
	kind      Kind
	variables bool
	labels    map[string]bool
}

// Parse reads a document. Its error is a Problems, which is a gust.ErrInvalid:
// each problem says what is wrong, where, and what would be right.
func Parse(kind Kind, doc []byte) (*Document, error) {
	p := &parser{reader: reader{source: doc}, kind: kind, labels: make(map[string]bool)}
	d := p.document(p.read())
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return d, nil
}

// document reads the outermost object.
func (p *parser) document(root *node) *Document {
	if root == nil {
		return nil
	}
	d := &Document{kind: p.kind, source: p.source}
	if root.kind != isObject {
		p.report("", root.offset, "want an object with Version and Statement, got %s", root.kind)
		return nil
	}
	var statements *node
	for _, m := range root.members {
		switch m.key {
		case "Version":
			if m.value.kind != isString || m.value.text != version2012 && m.value.text != version2008 {
				p.report(m.value.path, m.value.offset, "want %q or %q, the versions of the policy language, got %s", version2012, version2008, describe(m.value))
			}
			p.variables = m.value.text == version2012
		case "Id":
			p.word(m.value, "text")
		case "Statement":
			statements = m.value
		default:
			p.unknownKey(m, "Version", "Id", "Statement")
		}
	}
	if statements == nil {
		p.report("", root.offset, "the key Statement is missing: it is a list of statements")
		return nil
	}
	list := []*node{statements}
	if statements.kind == isList {
		list = statements.items
	}
	switch {
	case len(list) == 0:
		p.report(statements.path, statements.offset, "the list is empty: want at least one statement")
	case len(list) > MaxStatements:
		p.report(statements.path, statements.offset, "%d statements are above the maximum of %d", len(list), MaxStatements)
		return nil
	}
	d.statements = make([]statement, 0, len(list))
	for i, n := range list {
		d.statements = append(d.statements, p.statement(n, i))
	}
	if p.kind != Identity { // those are found by the index of the rights that they are part of
		d.index.add(0, d.statements)
		d.index.sort()
	}
	return d
}

// describe says what a value is.
func describe(n *node) string {
	if n.kind == isString {
		return quote(n.text)
	}
	return n.kind.String()
}

func (p *parser) unknownKey(m member, known ...string) {
	hint := suggest.Word(m.key, slices.Values(known))
	if hint == "" {
		hint = "; the keys here are " + strings.Join(known, ", ")
	}
	p.report(m.value.path, m.offset, "unknown key %s%s", quote(m.key), hint)
}

// word is a string, or "" after it was reported to be none.
func (p *parser) word(n *node, want string) string {
	if n.kind != isString {
		p.report(n.path, n.offset, "want %s, got %s", want, n.kind)
	}
	return n.text
}

// words are the strings of a list, or a single one.
func (p *parser) words(n *node, want string) []*node {
	list := []*node{n}
	if n.kind == isList {
		list = n.items
	}
	switch {
	case len(list) == 0:
		p.report(n.path, n.offset, "the list is empty: want %s, or a list of such", want)
	case len(list) > MaxValues:
		p.report(n.path, n.offset, "%d entries are above the maximum of %d", len(list), MaxValues)
		return nil
	}
	return slices.DeleteFunc(slices.Clone(list), func(item *node) bool {
		if item.kind == isString {
			return false
		}
		if item == n {
			want += ", or a list of such"
		}
		p.report(item.path, item.offset, "want %s, got %s", want, item.kind)
		return true
	})
}

func (p *parser) statement(n *node, i int) statement {
	line, _ := p.at(n.offset)
	s := statement{label: fmt.Sprintf("#%d", i+1), line: line}
	if n.kind != isObject {
		p.report(n.path, n.offset, "want a statement, an object with Effect, Action and Resource, got %s", n.kind)
		return s
	}
	has := make(map[string]*node, len(n.members))
	for _, m := range n.members {
		has[m.key] = m.value
		switch m.key {
		case "Sid":
			if sid := p.sid(m.value); sid != "" {
				s.label = sid
			}
		case "Effect":
			if m.value.kind != isString || m.value.text != "Allow" && m.value.text != "Deny" {
				p.report(m.value.path, m.value.offset, "want \"Allow\" or \"Deny\", got %s", describe(m.value))
			}
			s.deny = m.value.text == "Deny"
		case "Principal", "NotPrincipal":
			if p.kind == Identity {
				p.report(m.value.path, m.offset, "a policy of a user, a group or a role has no principal, it is whoever the policy is attached to: remove %s", m.key)
				continue
			}
			s.principals = p.principals(m.value, m.key == "NotPrincipal")
		case "Action", "NotAction":
			s.actions, s.notActions = p.actions(m.value), m.key == "NotAction"
		case "Resource", "NotResource":
			if p.kind == Trust {
				p.report(m.value.path, m.offset, "a trust policy has no resource, it is the role itself: remove %s", m.key)
				continue
			}
			s.resources, s.notResources = p.resources(m.value), m.key == "NotResource"
		case "Condition":
			s.conditions = p.conditions(m.value)
		default:
			p.unknownKey(m, p.keys()...)
		}
	}
	if has["Effect"] == nil {
		p.report(n.path, n.offset, `the key Effect is missing: it is "Allow" or "Deny"`)
	}
	p.either(n, has, "Action", `actions such as "lambda:InvokeFunction"`)
	if p.kind != Trust {
		p.either(n, has, "Resource", `ARNs, or "*"`)
	}
	if p.kind != Identity {
		p.either(n, has, "Principal", `who is meant, such as {"AWS": "arn:aws:iam::ACCOUNT:user/NAME"}`)
	}
	return s
}

// keys are what a statement may have.
func (p *parser) keys() []string {
	switch p.kind {
	case Identity:
		return []string{"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
	case Trust:
		return []string{"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Condition"}
	}
	return []string{"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
}

// either reports a statement that has neither a key nor its opposite, or both.
func (p *parser) either(n *node, has map[string]*node, key, what string) {
	switch {
	case has[key] == nil && has["Not"+key] == nil:
		p.report(n.path, n.offset, "the key %s is missing: it is %s", key, what)
	case has[key] != nil && has["Not"+key] != nil:
		p.report(has["Not"+key].path, has["Not"+key].offset, "a statement has %s or Not%s, not both: write two statements", key, key)
	}
}

func (p *parser) sid(n *node) string {
	sid := p.word(n, "text")
	more, form := "", "a-z, A-Z and 0-9"
	if p.kind == Resource {
		more, form = " _-.", "a-z, A-Z, 0-9, spaces, _, - and ."
	}
	for i := range len(sid) {
		if c := sid[i]; !isAlnum(c) && strings.IndexByte(more, c) < 0 {
			p.report(n.path, n.offset, "%s is no Sid: want at most 128 of %s", quote(sid), form)
			return sid
		}
	}
	switch {
	case len(sid) > 128:
		p.report(n.path, n.offset, "the Sid has %d bytes, above the maximum of 128", len(sid))
	case p.labels[sid]:
		p.report(n.path, n.offset, "the Sid %s stands twice in the document: give each statement its own, or none", quote(sid))
	}
	p.labels[sid] = sid != ""
	return sid
}

func (p *parser) actions(n *node) []pattern {
	var list []pattern
	for _, item := range p.words(n, `an action such as "lambda:InvokeFunction"`) {
		wrong := checkAction(item.text)
		if wrong == "" && p.kind == Trust && !strings.HasPrefix(Lower(item.text), "sts:") {
			wrong = "a trust policy is about assuming the role: want sts:AssumeRole or another action of sts, got " + quote(item.text)
		}
		a := pattern{}
		if wrong == "" {
			a, wrong = syntax{wildcards: true, fold: true}.compile(Lower(item.text))
			a.raw = item.text
		}
		if wrong != "" {
			p.report(item.path, item.offset, "%s", wrong)
		}
		list = append(list, a)
	}
	return list
}

// checkAction says what is wrong with an action, or returns "".
func checkAction(s string) string {
	service, name, ok := strings.Cut(s, ":")
	if s == "*" || s == "*:*" {
		return ""
	}
	if len(s) > MaxAction {
		return fmt.Sprintf("the action has %d bytes, above the maximum of %d", len(s), MaxAction)
	}
	for i := range len(service) {
		ok = ok && (isAlnum(service[i]) || service[i] == '-')
	}
	for i := range len(name) {
		ok = ok && (isAlnum(name[i]) || name[i] == '*' || name[i] == '?')
	}
	if !ok || service == "" || name == "" {
		return "want service:Action such as lambda:InvokeFunction, in which the action may have * and ?, or \"*\" for all, got " + quote(s)
	}
	return ""
}

func (p *parser) resources(n *node) []pattern {
	var list []pattern
	for _, item := range p.words(n, `an ARN, or "*"`) {
		r, wrong := pattern{}, checkResource(item.text, p.variables)
		if wrong == "" {
			r, wrong = syntax{wildcards: true, variables: p.variables}.compile(item.text)
		}
		if wrong != "" {
			p.report(item.path, item.offset, "%s", wrong)
		}
		list = append(list, r)
	}
	return list
}

// checkResource says what is wrong with a resource, or returns "". A * at the
// end of a part goes beyond its colon ("IAM JSON policy elements: Resource"), so
// that arn:aws:lambda:* is whole.
func checkResource(s string, variables bool) string {
	if s == "*" {
		return ""
	}
	parts := splitPattern(s, variables)
	if parts[0] != "arn" || len(parts) < arnParts && (len(parts) < 4 || !strings.HasSuffix(s, "*")) {
		return `want an ARN, arn:aws:service:region:account:resource, or "*", got ` + quote(s)
	}
	if strings.ContainsAny(parts[2], "*?") || parts[2] == "" {
		return "the service of an ARN, its third part, has to be written out, got " + quote(s)
	}
	for _, part := range parts[:min(len(parts), arnParts-1)] {
		if variables && strings.Contains(part, "${") {
			return "a variable can stand in the last part of an ARN alone, after the fifth colon, got " + quote(s)
		}
	}
	return ""
}

func (p *parser) conditions(n *node) []condition {
	if n.kind != isObject {
		p.report(n.path, n.offset, `want an object such as {"StringEquals": {"aws:PrincipalTag/team": "blue"}}, got %s`, n.kind)
		return nil
	}
	var list []condition
	for _, m := range n.members {
		c, o, wrong := parseOperator(m.key)
		if wrong != "" {
			p.report(m.value.path, m.offset, "%s", wrong)
			continue
		}
		if m.value.kind != isObject {
			p.report(m.value.path, m.value.offset, "want an object of condition keys and their values, got %s", m.value.kind)
			continue
		}
		for _, k := range m.value.members {
			if wrong := checkKey(k.key); wrong != "" {
				p.report(k.value.path, k.offset, "%s", wrong)
				continue
			}
			c.key, c.lookup = k.key, Lower(k.key)
			c.values = p.values(k.value, o)
			list = append(list, c)
		}
	}
	return list
}

// values are those of one condition: strings, numbers and truth values.
func (p *parser) values(n *node, o operator) []value {
	list := []*node{n}
	if n.kind == isList {
		list = n.items
	}
	switch {
	case len(list) == 0:
		p.report(n.path, n.offset, "the list is empty: no value would ever match")
	case len(list) > MaxValues:
		p.report(n.path, n.offset, "%d values are above the maximum of %d", len(list), MaxValues)
		return nil
	}
	values := make([]value, 0, len(list))
	for _, item := range list {
		if item.kind != isString && item.kind != isNumber && item.kind != isBool {
			p.report(item.path, item.offset, "want a value, or a list of values, got %s", item.kind)
			continue
		}
		v, wrong := o.make(item.text, p.variables)
		if wrong != "" {
			p.report(item.path, item.offset, "%s", wrong)
			continue
		}
		values = append(values, v)
	}
	return values
}
