package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/gust-dev/gust/internal/suggest"
)

// keyType is what a condition key's values are.
type keyType int

const (
	textKey keyType = iota
	arnKey
	boolKey
	dateKey
	numberKey
	addressKey
)

// keyFacts are what is known of a condition key.
type keyFacts struct {
	name  string // as AWS writes it
	kind  keyType
	many  bool // it can have several values
	never bool // a node cannot tell, so that it is never there
	some  bool // not every request has it
}

// globalKeys are AWS's global condition keys ("AWS global condition context keys"
// in the IAM User Guide) by their name in lower case; those with a tag's name
// end in a slash.
var globalKeys = makeKeys([]keyFacts{
	{name: "aws:CalledVia", many: true, never: true}, {name: "aws:CalledViaFirst", never: true}, {name: "aws:CalledViaLast", never: true},
	{name: "aws:CurrentTime", kind: dateKey}, {name: "aws:EpochTime", kind: dateKey},
	{name: "aws:FederatedProvider", some: true},
	{name: "aws:MultiFactorAuthAge", kind: numberKey, some: true},
	{name: "aws:MultiFactorAuthPresent", kind: boolKey, some: true},
	{name: "aws:PrincipalAccount"}, {name: "aws:PrincipalArn", kind: arnKey}, {name: "aws:PrincipalIsAWSService", kind: boolKey},
	{name: "aws:PrincipalOrgID", never: true}, {name: "aws:PrincipalOrgPaths", many: true, never: true},
	{name: "aws:PrincipalServiceName", some: true}, {name: "aws:PrincipalServiceNamesList", many: true, some: true},
	{name: "aws:PrincipalTag/", some: true}, {name: "aws:PrincipalType"},
	{name: "aws:Referer", never: true}, {name: "aws:RequestedRegion"}, {name: "aws:RequestTag/", some: true},
	{name: "aws:ResourceAccount", some: true}, {name: "aws:ResourceOrgID", never: true}, {name: "aws:ResourceOrgPaths", many: true, never: true},
	{name: "aws:ResourceTag/", some: true},
	{name: "aws:SecureTransport", kind: boolKey},
	{name: "aws:SourceAccount", some: true}, {name: "aws:SourceArn", kind: arnKey, some: true},
	{name: "aws:SourceIdentity", some: true}, {name: "aws:SourceIp", kind: addressKey},
	{name: "aws:SourceOrgID", never: true}, {name: "aws:SourceOrgPaths", many: true, never: true},
	{name: "aws:SourceVpc", never: true}, {name: "aws:SourceVpcArn", kind: arnKey, never: true}, {name: "aws:SourceVpce", never: true},
	{name: "aws:TagKeys", many: true, some: true}, {name: "aws:TokenIssueTime", kind: dateKey, some: true},
	{name: "aws:UserAgent", some: true}, {name: "aws:userid"}, {name: "aws:username", some: true},
	{name: "aws:ViaAWSService", kind: boolKey}, {name: "aws:VpcSourceIp", kind: addressKey, never: true},
	{name: "aws:Ec2InstanceSourceVpc", never: true}, {name: "aws:Ec2InstanceSourcePrivateIPv4", kind: addressKey, never: true},
})

func makeKeys(list []keyFacts) map[string]keyFacts {
	keys := make(map[string]keyFacts, len(list))
	for _, k := range list {
		keys[Lower(k.name)] = k
	}
	return keys
}

// factsOf is what is known of a key in lower case. known is false for a global
// key that there is not; keys of services are all taken.
func factsOf(key string) (k keyFacts, known bool) {
	if service, _, _ := strings.Cut(key, ":"); service != "aws" {
		return keyFacts{name: key, some: true}, true
	}
	k, known = globalKeys[familyOf(key)]
	return k, known
}

// familyOf is a key without the name of a tag: "aws:PrincipalTag/".
func familyOf(key string) string {
	if i := strings.IndexByte(key, '/'); i >= 0 {
		return key[:i+1]
	}
	return key
}

// fits tells whether an operator is for a kind of key.
func fits(base string, kind keyType) bool {
	switch {
	case strings.HasPrefix(base, "Arn"):
		return kind == arnKey
	case strings.HasPrefix(base, "String"):
		return kind == textKey || kind == arnKey || kind == boolKey
	case strings.HasPrefix(base, "Date"):
		return kind == dateKey
	case strings.HasPrefix(base, "Numeric"):
		return kind == numberKey || kind == dateKey // seconds
	case strings.HasPrefix(base, "Bool"):
		return kind == boolKey
	case strings.HasSuffix(strings.TrimSuffix(base, "IfExists"), "IpAddress"):
		return kind == addressKey
	}
	return true // Null
}

// operatorsFor are what a kind of key is compared with.
var operatorsFor = map[keyType]string{
	textKey: "a String operator", arnKey: "an Arn operator", boolKey: "Bool", dateKey: "a Date operator", numberKey: "a Numeric operator", addressKey: "IpAddress or NotIpAddress",
}

// conditions looks for those that never or always hold, or not as was meant.
func (l *linter) conditions(s *statement, n *node) {
	block := n.get("Condition")
	if block == nil {
		return
	}
	for _, m := range block.members {
		if len(m.value.members) == 0 {
			l.add(SeverityNote, m.value, "leave it out", "%s has no keys, and always holds", m.key)
		}
	}
	i := 0 // Parse took them in this order
	for _, m := range block.members {
		for _, k := range m.value.members {
			l.condition(s, &s.conditions[i], &node{path: k.value.path, offset: k.offset})
			i++
		}
	}
	l.contradictions(s, block)
}

func (l *linter) condition(s *statement, c *condition, n *node) {
	k, known := factsOf(c.lookup)
	base := c.operator[strings.LastIndexByte(c.operator, ':')+1:]
	switch {
	case !known:
		names := func(yield func(string) bool) {
			for _, k := range globalKeys {
				if !yield(k.name) {
					return
				}
			}
		}
		l.add(SeverityWarning, n, "correct the name", "there is no key %s, so that no request has it%s", quote(c.key), suggest.Word(familyOf(c.key), names))
		return
	case k.never && !c.null && !c.ifExists:
		l.add(SeverityWarning, n, "leave it out, or add IfExists to the operator", "a node never has the key %s: the condition %s", k.name, fate(c))
	case strings.HasPrefix(c.lookup, "aws:") && !fits(base, k.kind):
		l.add(SeverityWarning, n, "use "+operatorsFor[k.kind], "%s is not what %s is compared with: the condition %s", base, k.name, fate(c))
	}
	if c.set == plain && k.many && !c.null {
		l.add(SeverityWarning, n, "write ForAnyValue: or ForAllValues: before the operator", "%s can have several values, and the operator does not say whether one or all are meant", k.name)
	}
	if c.set != plain && !k.many && strings.HasPrefix(c.lookup, "aws:") {
		l.add(SeverityWarning, n, "leave ForAllValues: or ForAnyValue: out", "%s has one value at most, and is compared without a set operator", k.name)
	}
	if c.set == forAll && !s.deny && !slices.ContainsFunc(s.conditions, func(o condition) bool { return o.null && o.lookup == c.lookup }) {
		l.add(SeverityWarning, n, `add {"Null": {"`+c.key+`": "false"}}`, "ForAllValues with Allow holds for every request that does not have the key %s at all", c.key)
	}
	switch {
	case c.ifExists && c.negated && c.set == plain:
		l.add(SeverityNote, n, "leave IfExists out", "%s holds without the key anyway, as every negated operator does", base)
	case c.ifExists && !s.deny && k.some && c.set == plain:
		l.add(SeverityWarning, n, "leave IfExists out, or deny with the negated operator", "%s with Allow holds for every request that does not have the key %s", base, c.key)
	}
	for _, v := range c.values {
		raw := v.String()
		if _, ok := v.(*arn); ok {
			if wrong := checkARN(raw, l.p.variables); wrong != "" {
				l.add(SeverityWarning, n, "correct the ARN: as it is, no value matches it", "%s", wrong)
			}
		}
		if t, ok := v.(*text); ok && strings.ContainsAny(raw, "*?") && len(t.vars) == 0 && strings.HasPrefix(base, "String") && !strings.Contains(base, "Like") && !strings.Contains(raw, "${") {
			l.add(SeverityWarning, n, "use StringLike or StringNotLike", "* and ? are no wildcards under %s: the value is compared as it is written, %s", base, quote(raw))
		}
	}
}

// fate is what a condition comes to whose key has no value that could match.
func fate(c *condition) string {
	if c.negated && c.set != forAny || c.set == forAll {
		return "always holds"
	}
	return "never holds"
}

// contradictions looks for conditions of one key that exclude each other.
func (l *linter) contradictions(s *statement, block *node) {
	never := func(key string) {
		l.add(SeverityWarning, block, "correct one of them, or remove the statement", "the conditions of %s exclude each other: the statement never matches", key)
	}
	byKey := make(map[string][]*condition)
	for i := range s.conditions {
		c := &s.conditions[i]
		byKey[c.lookup] = append(byKey[c.lookup], c)
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		list := byKey[key]
		absent, needed := false, false
		var equals, unequals []string
		for _, c := range list {
			base := c.operator
			switch {
			case c.null:
				absent = absent || !slices.ContainsFunc(c.values, func(v value) bool { return v == flag(false) })
				needed = needed || !slices.ContainsFunc(c.values, func(v value) bool { return v == flag(true) })
			case !c.negated && !c.ifExists && c.set != forAll:
				needed = true
			}
			for _, v := range c.values {
				if base == "StringEquals" {
					equals = append(equals, v.String())
				} else if base == "StringNotEquals" {
					unequals = append(unequals, v.String())
				}
			}
		}
		excluded := len(equals) > 0 && !slices.ContainsFunc(equals, func(v string) bool { return !slices.Contains(unequals, v) })
		if absent && needed || excluded || emptyRange(list) {
			never(list[0].key)
		}
	}
}

// emptyRange tells whether no number, or no time, is within all bounds.
func emptyRange(list []*condition) bool {
	for _, a := range list {
		for _, b := range list {
			if len(a.values) != 1 || len(b.values) != 1 || a.set != plain || b.set != plain || a.ifExists || b.ifExists {
				continue
			}
			switch low := a.values[0].(type) {
			case *number:
				high, ok := b.values[0].(*number)
				if ok && low.greater && high.less && (low.n > high.n || low.n == high.n && !(low.equal && high.equal)) {
					return true
				}
			case *date:
				high, ok := b.values[0].(*date)
				if ok && low.greater && high.less && (low.t.After(high.t) || low.t.Equal(high.t) && !(low.equal && high.equal)) {
					return true
				}
			}
		}
	}
	return false
}
