package wire

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/gust-dev/gust/internal/access/guard"
)

var errUnfinished = errors.New("the call was not carried out to its end")

// naming are the ends of the names of members that name things. Documents,
// tokens, descriptions and secrets end otherwise.
var naming = []string{"Name", "Arn", "ARN", "Path", "KeyId", "VersionId", "SerialNumber"}

// params are what a request names, for the audit log.
func (s *structure) params(v reflect.Value) []guard.Param {
	var list []guard.Param
	for _, f := range s.fields {
		if f.kind != kindString || f.sensitive || !slices.ContainsFunc(naming, func(end string) bool { return strings.HasSuffix(f.name, end) }) {
			continue
		}
		if text := reflect.Indirect(v.Field(f.index)); text.IsValid() && text.String() != "" {
			list = append(list, guard.Param{Name: f.name, Value: text.String()})
		}
	}
	return list
}
