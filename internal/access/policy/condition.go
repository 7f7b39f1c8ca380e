package policy

import (
	"cmp"
	"encoding/base64"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gust-dev/gust/internal/suggest"
)

// condition is one key under one operator ("IAM JSON policy elements: Condition
// operators" in the IAM User Guide).
type condition struct {
	operator string // as it is written
	key      string // as it is written
	lookup   string // lower case
	set      quantifier
	ifExists bool
	negated  bool
	null     bool
	values   []value
}

// quantifier is how a key with several values is tested.
type quantifier int

const (
	plain  quantifier = iota
	forAll            // ForAllValues:
	forAny            // ForAnyValue:
)

// value is one value of a condition, made ready.
type value interface {
	// matches compares it with a value of the request.
	matches(given string, req *Request) verdict
	String() string // as it is written
}

// holds tells whether the condition is fulfilled. deny is the effect of its
// statement, which matters for what cannot be known: a variable without a value
// makes nothing allowed, and does not keep a negated comparison from denying. What
// is more than conditions look at makes nothing allowed either, and keeps none
// from denying.
func (c *condition) holds(req *Request, deny bool) bool {
	given := req.values(c.lookup)
	if c.null {
		absent := len(given) == 0
		return slices.ContainsFunc(c.values, func(v value) bool { return bool(v.(flag)) == absent })
	}
	if len(given) == 0 || c.set != plain && len(given) == 1 && given[0] == "" {
		switch {
		case len(given) == 0 && c.ifExists:
			return true
		case c.set != plain:
			return c.set == forAll
		}
		return c.negated
	}
	if len(given) > MaxValues {
		return deny
	}
	switch c.set {
	case forAll:
		for _, g := range given {
			if !c.test(g, req, deny) {
				return false
			}
		}
		return true
	case forAny:
		for _, g := range given {
			if c.test(g, req, deny) {
				return true
			}
		}
		return false
	}
	// Without a quantifier one of several values is enough, and for a negated
	// operator, which is the opposite, it has to be none.
	for _, g := range given {
		if c.test(g, req, deny) != c.negated {
			return !c.negated
		}
	}
	return c.negated
}

// test compares one value of the request with all of the policy's.
func (c *condition) test(given string, req *Request, deny bool) bool {
	if len(given) > MaxValue {
		return deny
	}
	if _, ok := c.values[0].(*number); ok { // all are, and to read one may take long
		n, ok := parseNumber(given)
		return c.negated != (ok && slices.ContainsFunc(c.values, func(v value) bool { return v.(*number).is(n) }))
	}
	best := no
	for _, v := range c.values {
		switch v.matches(given, req) {
		case yes:
			return !c.negated
		case beyond:
			return deny
		case unknown:
			best = unknown
		}
	}
	return c.negated && (best == no || deny)
}

// operator is what the name of one means.
type operator struct {
	negated, null bool
	// make makes a value ready, or says what is wrong with it.
	make func(text string, variables bool) (value, string)
}

// order is how two values are to each other.
type order struct {
	less, equal, greater bool
}

func (o order) holds(compared int) bool {
	return compared < 0 && o.less || compared == 0 && o.equal || compared > 0 && o.greater
}

// operators are all that there are, by name. Nothing changes them.
var operators = makeOperators()

func makeOperators() map[string]operator {
	text := func(x syntax, negated bool) operator {
		return operator{negated: negated, make: func(s string, variables bool) (value, string) {
			x.variables = variables
			p, wrong := x.compile(s)
			return &text{p}, wrong
		}}
	}
	arn := operator{make: makeARN}
	notARN := operator{make: makeARN, negated: true}
	all := map[string]operator{
		"StringEquals":              text(syntax{}, false),
		"StringNotEquals":           text(syntax{}, true),
		"StringEqualsIgnoreCase":    text(syntax{fold: true}, false),
		"StringNotEqualsIgnoreCase": text(syntax{fold: true}, true),
		"StringLike":                text(syntax{wildcards: true}, false),
		"StringNotLike":             text(syntax{wildcards: true}, true),
		"Bool":                      {make: makeBool},
		"Null":                      {make: makeFlag, null: true},
		"BinaryEquals":              {make: makeBinary},
		"IpAddress":                 {make: makeNetwork},
		"NotIpAddress":              {make: makeNetwork, negated: true},
		"ArnEquals":                 arn,
		"ArnLike":                   arn,
		"ArnNotEquals":              notARN,
		"ArnNotLike":                notARN,
	}
	for name, o := range map[string]order{
		"Equals": {equal: true}, "NotEquals": {equal: true}, "LessThan": {less: true}, "LessThanEquals": {less: true, equal: true},
		"GreaterThan": {greater: true}, "GreaterThanEquals": {greater: true, equal: true},
	} {
		all["Numeric"+name] = operator{negated: name == "NotEquals", make: func(s string, _ bool) (value, string) { return makeNumber(s, o) }}
		all["Date"+name] = operator{negated: name == "NotEquals", make: func(s string, _ bool) (value, string) { return makeDate(s, o) }}
	}
	return all
}

// parseOperator reads the name of one: [ForAllValues:|ForAnyValue:]NAME[IfExists].
func parseOperator(name string) (c condition, o operator, wrong string) {
	c.operator = name
	base := name
	if prefix, rest, ok := strings.Cut(name, ":"); ok {
		base = rest
		switch prefix {
		case "ForAllValues":
			c.set = forAll
		case "ForAnyValue":
			c.set = forAny
		default:
			return c, o, "want ForAllValues: or ForAnyValue: before an operator, got " + quote(prefix)
		}
	}
	base, c.ifExists = strings.CutSuffix(base, "IfExists")
	o, known := operators[base]
	switch {
	case !known:
		return c, o, quote(name) + " is no condition operator" + suggest.Word(base, maps.Keys(operators)) + operatorHint
	case o.null && (c.set != plain || c.ifExists):
		return c, o, "Null asks whether the key is there, and stands alone: write \"Null\""
	}
	c.negated, c.null = o.negated, o.null
	return c, o, ""
}

const operatorHint = " (operators are String, Numeric, Date, Arn and IpAddress ones, Bool, BinaryEquals and Null)"

// text is a value of String operators.
type text struct{ pattern }

func (v *text) String() string { return v.raw }

// number is a value of Numeric operators.
type number struct {
	raw string
	n   float64
	order
}

func makeNumber(s string, o order) (value, string) {
	n, ok := parseNumber(s)
	if !ok {
		return nil, "want a number such as 10 or 2.5, got " + quote(s)
	}
	return &number{s, n, o}, ""
}

// parseNumber takes decimal numbers, and none of what else Go reads as one.
func parseNumber(s string) (float64, bool) {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

func (v *number) matches(given string, _ *Request) verdict {
	n, ok := parseNumber(given)
	return verdictOf(ok && v.is(n))
}

func (v *number) is(n float64) bool { return v.holds(cmp.Compare(n, v.n)) }

func (v *number) String() string { return v.raw }

// date is a value of Date operators.
type date struct {
	raw string
	t   time.Time
	order
}

func makeDate(s string, o order) (value, string) {
	t, ok := parseDate(s)
	if !ok {
		return nil, "want a time such as 2026-01-31T08:00:00Z, or seconds since 1970, got " + quote(s)
	}
	return &date{s, t, o}, ""
}

// parseDate takes the forms of https://www.w3.org/TR/NOTE-datetime, and seconds
// since 1970; four digits are a year.
func parseDate(s string) (time.Time, bool) {
	if n, err := strconv.ParseInt(s, 10, 40); err == nil && len(s) != 4 {
		return time.Unix(n, 0), true
	}
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func (v *date) matches(given string, _ *Request) verdict {
	t, ok := parseDate(given)
	return verdictOf(ok && v.holds(t.Compare(v.t)))
}

func (v *date) String() string { return v.raw }

// flag is a value of Null.
type flag bool

func makeFlag(s string, _ bool) (value, string) {
	if s != "true" && s != "false" {
		return nil, "want true (the key is not there) or false (it is), got " + quote(s)
	}
	return flag(s == "true"), ""
}

func (v flag) matches(given string, _ *Request) verdict { return verdictOf(given == v.String()) }

func (v flag) String() string { return strconv.FormatBool(bool(v)) }

func makeBool(s string, variables bool) (value, string) {
	p, wrong := syntax{variables: variables, fold: true}.compile(s)
	if wrong == "" && p.isExact() && !EqualFold(s, "true") && !EqualFold(s, "false") {
		wrong = "want true or false, got " + quote(s)
	}
	return &text{p}, wrong
}

// binary is a value of BinaryEquals. A request gives such keys in base64 too.
type binary struct{ raw, decoded string }

func makeBinary(s string, _ bool) (value, string) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, "want base64, got " + quote(s)
	}
	return &binary{s, string(b)}, ""
}

func (v *binary) matches(given string, _ *Request) verdict {
	b, err := base64.StdEncoding.DecodeString(given)
	return verdictOf(err == nil && string(b) == v.decoded)
}

func (v *binary) String() string { return v.raw }

// network is a value of IpAddress: a range of addresses.
type network struct {
	raw string
	netip.Prefix
}

func makeNetwork(s string, _ bool) (value, string) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return &network{s, netip.PrefixFrom(a, a.BitLen())}, ""
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, "want an address or a range such as 203.0.113.0/24 or 2001:db8::/32, got " + quote(s)
	}
	return &network{s, prefix.Masked()}, ""
}

func (v *network) matches(given string, _ *Request) verdict {
	a, err := netip.ParseAddr(given)
	return verdictOf(err == nil && v.Contains(a.Unmap().WithZone("")))
}

func (v *network) String() string { return v.raw }

// arn is a value of Arn operators: each of its six parts is compared alone.
type arn struct {
	raw   string
	parts []pattern
}

// arnParts is how many parts an ARN has: arn:partition:service:region:account:resource.
const arnParts = 6

func makeARN(s string, variables bool) (value, string) {
	x := syntax{wildcards: true, variables: variables}
	whole, wrong := x.compile(s)
	if wrong != "" {
		return nil, wrong
	}
	// One * is every ARN, and a variable alone is the ARN that it holds.
	if whole.isAny() || len(whole.vars) == 1 && len(whole.rest) == 1 && whole.head == "" {
		return &arn{s, []pattern{whole}}, ""
	}
	parts := splitPattern(s, variables)
	if len(parts) != arnParts || parts[0] != "arn" {
		return nil, "want an ARN of six parts, arn:aws:service:region:account:resource, each of which may have * and ?, got " + quote(s)
	}
	v := &arn{s, make([]pattern, arnParts)}
	for i, part := range parts {
		v.parts[i], _ = x.compile(part) // the whole did
	}
	return v, ""
}

// splitPattern cuts an ARN into its parts at colons outside of variables.
func splitPattern(s string, variables bool) []string {
	var parts []string
	begin := 0
	for i := 0; i < len(s) && len(parts) < arnParts-1; i++ {
		if variables && strings.HasPrefix(s[i:], "${") {
			i += max(strings.IndexByte(s[i:], '}'), 0)
		} else if s[i] == ':' {
			parts = append(parts, s[begin:i])
			begin = i + 1
		}
	}
	return append(parts, s[begin:])
}

func (v *arn) matches(given string, req *Request) verdict {
	if len(v.parts) == 1 {
		return v.parts[0].matches(given, req)
	}
	result := yes
	for i := range v.parts {
		part, rest, more := strings.Cut(given, ":")
		if i == arnParts-1 {
			part = given
		} else if !more {
			return no
		}
		switch came := v.parts[i].matches(part, req); came {
		case no:
			return no
		case unknown, beyond:
			result = max(result, came)
		}
		given = rest
	}
	return result
}

func (v *arn) String() string { return v.raw }
