package lambda

import (
	"fmt"
	"strconv"
	"strings"

	gust "github.com/gust-dev/gust"
)

// latest is the qualifier of whatever was deployed last.
const latest = "$LATEST"

// name is how a request names a function: by its name, a partial ARN
// (account:function:name) or an ARN, each with a qualifier at its end or not.
type name struct {
	place     gust.Place // what was said of it
	function  string
	qualifier string
}

// parseName reads a function's name; qualifier is the Qualifier parameter, or
// nil.
func parseName(s string, qualifier *string) (name, error) {
	n := name{}
	parts := strings.Split(s, ":")
	switch {
	case parts[0] == "arn":
		if len(parts) < 7 || parts[1] != "aws" || parts[2] != "lambda" || parts[3] == "" || parts[4] == "" || parts[5] != "function" {
			return n, badName(s)
		}
		n.place = gust.Place{Region: parts[3], Account: parts[4]}
		parts = parts[6:]
	case len(parts) >= 3 && parts[1] == "function":
		n.place.Account = parts[0]
		if n.place.Account == "" {
			return n, badName(s)
		}
		parts = parts[2:]
	}
	if len(parts) > 2 || !validName(parts[0]) {
		return n, badName(s)
	}
	n.function = parts[0]
	if len(parts) == 2 {
		if !validQualifier(parts[1]) {
			return n, badName(s)
		}
		n.qualifier = parts[1]
	}
	if qualifier != nil {
		q := *qualifier
		if !validQualifier(q) {
			return n, invalid("Qualifier %.120q is wrong: it is $LATEST, a version's number, or an alias of letters, digits, hyphens and underscores", q)
		}
		if n.qualifier != "" && n.qualifier != q {
			return n, invalid("the qualifier %s in the function's name is not the Qualifier %s", n.qualifier, q)
		}
		n.qualifier = q
	}
	return n, nil
}

// asksFor reports whether the name means the version, which is the newest.
func (n *name) asksFor(version uint64) bool {
	return n.qualifier == "" || n.qualifier == latest || n.qualifier == strconv.FormatUint(version, 10)
}

// arn is the ARN of what the name means at a node's place.
func (n *name) arn(p gust.Place) string {
	if n.place.Region != "" {
		p.Region = n.place.Region
	}
	if n.place.Account != "" {
		p.Account = n.place.Account
	}
	arn := p.FunctionARN(n.function)
	if n.qualifier != "" {
		arn += ":" + n.qualifier
	}
	return arn
}

func validName(s string) bool {
	return s != "" && len(s) <= gust.MaxNameLength && wordChars(s)
}

// validQualifier accepts $LATEST, numbers, and the names of aliases.
func validQualifier(s string) bool {
	return s == latest || s != "" && len(s) <= 128 && wordChars(s)
}

func wordChars(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func badName(s string) error {
	return invalid("the function name %.120q is wrong: it is NAME, ACCOUNT:function:NAME or arn:aws:lambda:REGION:ACCOUNT:function:NAME, each with :QUALIFIER or without; a NAME has up to %d letters, digits, hyphens and underscores",
		s, gust.MaxNameLength)
}

func notFound(n *name, p gust.Place) error {
	return fault("ResourceNotFoundException", "Function not found: "+n.arn(p))
}

func invalid(format string, args ...any) error {
	return fault("InvalidParameterValueException", fmt.Sprintf(format, args...))
}
