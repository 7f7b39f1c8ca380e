package wire

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gust-dev/gust/internal/access/guard"
)

var errUnfinished = errors.New("the call was not carried out to its end")

// What of a request is in its record. Tokens, codes, descriptions and secrets are
// not: a member that is in none of these lists stays out.
var (
	// naming are the ends of the names of members that name things.
	naming = []string{"Name", "Arn", "ARN", "Path", "KeyId", "VersionId", "SerialNumber"}
	// deciding are other members on which it hangs who may what from then on.
	deciding = []string{
		"AccountAlias", "Action", "ClientID", "ClientIDList", "CustomSuffix", "DurationSeconds", "MaxSessionDuration", "PermissionsBoundary", "PolicyArns",
		"Principal", "Qualifier", "SetAsDefault", "SourceAccount", "SourceIdentity", "StatementId", "Status", "TagKeys", "Tags", "ThumbprintList",
		"TransitiveTagKeys", "Url",
	}
	// documents are too long for a record. By their hash it tells which it was to
	// whoever has them.
	documents = []string{"AssumeRolePolicyDocument", "Policy", "PolicyDocument"}
)

// params are what a request names, for the audit log.
func (s *structure) params(v reflect.Value) []guard.Param {
	var list []guard.Param
	for _, f := range s.fields {
		document := slices.Contains(documents, f.name)
		if !document && !slices.Contains(deciding, f.name) && !slices.ContainsFunc(naming, func(end string) bool { return strings.HasSuffix(f.name, end) }) {
			continue
		}
		text := f.text(reflect.Indirect(v.Field(f.index)))
		if document && text != "" {
			text = fmt.Sprintf("sha256:%x, %d bytes", sha256.Sum256([]byte(text)), len(text))
		}
		if text != "" {
			list = append(list, guard.Param{Name: f.name, Value: text})
		}
	}
	return list
}

// text is a value on one line: a list by its members, of which a tag is KEY=VALUE.
// What is not there, is sensitive or has more to it is empty.
func (n *node) text(v reflect.Value) string {
	var parts []string
	switch {
	case !v.IsValid() || n.sensitive:
	case n.kind == kindString:
		return v.String()
	case n.kind == kindBool, n.kind == kindInt:
		return fmt.Sprint(v)
	case n.kind == kindList:
		for i := range v.Len() {
			parts = append(parts, n.elem.text(v.Index(i)))
		}
		return strings.Join(parts, ", ")
	case n.kind == kindStruct:
		for _, f := range n.fields.fields {
			parts = append(parts, f.text(reflect.Indirect(v.Field(f.index))))
		}
		return strings.Join(parts, "=")
	}
	return ""
}

// made are the keys that an answer names, which nobody could name before.
func (s *structure) made(v reflect.Value) []guard.Param {
	var list []guard.Param
	for _, f := range s.fields {
		switch in := reflect.Indirect(v.Field(f.index)); {
		case !in.IsValid():
		case f.kind == kindStruct:
			list = append(list, f.node.fields.made(in)...)
		case f.name == "AccessKeyId":
			list = append(list, guard.Param{Name: f.name, Value: f.text(in)})
		}
	}
	return list
}
