package policy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/suggest"
)

// FunctionKind is what references to functions begin with: "function:worker".
const FunctionKind = "function"

// laterKinds are those that Gust's design has and this version does not.
var laterKinds = []string{"queue", "topic", "bus", "rule", "schedule", "stream", "bucket", "table", "workflow", "secret", "alarm"}

// Function is the name in a reference to a function, and false for anything else.
func Function(resource string) (name string, ok bool) {
	return strings.CutPrefix(resource, FunctionKind+":")
}

// short is a document as FromGrants writes it.
type short struct {
	Version   string
	Statement []shortStatement
}

type shortStatement struct {
	Sid       string `json:",omitempty"`
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// FromGrants makes a document of the short form, for what is in this place. A
// reference to a function means the function, its versions and its aliases. None
// makes a document that allows nothing. Its error is a Problems whose paths are
// those of CheckGrants.
func FromGrants(place gust.Place, grants []gust.Grant) (*Document, error) {
	if ps := CheckGrants(grants); len(ps) > 0 {
		return nil, ps
	}
	doc := shortDocument(place, grants)
	if len(grants) == 0 {
		return &Document{source: doc}, nil
	}
	return Parse(Identity, doc)
}

func shortDocument(place gust.Place, grants []gust.Grant) []byte {
	doc := short{Version: version2012, Statement: []shortStatement{}}
	for _, g := range grants {
		s := shortStatement{Sid: g.Sid, Effect: "Allow", Action: append([]string{}, g.Actions...), Resource: []string{}, Condition: g.When}
		if g.Effect == gust.Deny {
			s.Effect = "Deny"
		}
		for _, r := range g.Resources {
			if name, ok := Function(r); ok {
				r = place.FunctionARN(name)
				s.Resource = append(s.Resource, r, r+":*")
			} else {
				s.Resource = append(s.Resource, r)
			}
		}
		doc.Statement = append(doc.Statement, s)
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil { // strings always marshal
		panic(err)
	}
	return data
}

// CheckGrants says what is wrong with the short form by itself. Paths are in the
// manifest's words: "[0].allow[1]", "[2].on", "[0].when.StringEquals". It looks
// for no functions; see Function.
func CheckGrants(grants []gust.Grant) Problems {
	if len(grants) > gust.MaxGrants {
		return Problems{{Text: fmt.Sprintf("%d entries are above the maximum of %d", len(grants), gust.MaxGrants)}}
	}
	var ps Problems
	report := func(i int, path, format string, args ...any) {
		ps = append(ps, Problem{Path: fmt.Sprintf("[%d]%s", i, path), Text: fmt.Sprintf(format, args...)})
	}
	sids := make(map[string]bool)
	for i, g := range grants {
		if len(ps) >= maxProblems { // each costs a look through all names
			break
		}
		if g.Effect != gust.Allow && g.Effect != gust.Deny {
			report(i, "", "want allow or deny, got %s", quote(string(g.Effect)))
			continue
		}
		if n := max(len(g.Actions), len(g.Resources)); n > MaxValues {
			report(i, "", "a list of %d is above the maximum of %d", n, MaxValues)
			continue
		}
		before := len(ps)
		for j, a := range g.Actions {
			if len(ps) >= maxProblems {
				break
			}
			if wrong := checkGrantAction(a); wrong != "" {
				report(i, fmt.Sprintf(".%s[%d]", g.Effect, j), "%s", wrong)
			}
		}
		for j, r := range g.Resources {
			if wrong := checkGrantResource(r, g.Actions); wrong != "" {
				report(i, fmt.Sprintf(".on[%d]", j), "%s", wrong)
			}
		}
		if g.Sid != "" && sids[g.Sid] {
			report(i, ".sid", "the sid %s stands twice in the list: give each entry its own, or none", quote(g.Sid))
		}
		sids[g.Sid] = true
		if len(ps) > before {
			continue
		}
		// The rest, conditions above all, is as in a document.
		if _, err := Parse(Identity, shortDocument(gust.DefaultPlace, grants[i:i+1])); err != nil {
			problems, _ := err.(Problems) // Parse has no other
			for _, p := range problems {
				report(i, grantPath(g, p.Path), "%s", p.Text)
			}
		}
	}
	if len(ps) > 0 {
		return ps
	}
	if size := len(shortDocument(gust.DefaultPlace, grants)); size > MaxDocument {
		return Problems{{Text: fmt.Sprintf("the policy makes a document of %d bytes, above the maximum of %d", size, MaxDocument)}}
	}
	return nil
}

var inStatement = regexp.MustCompile(`^Statement\[0\]\.?(Sid|Effect|Action|Resource|Condition)?(.*)$`)

// grantPath puts a document's path into the manifest's words. How many resources
// a reference became does not matter: all that are left at this point are right,
// or wrong as a whole.
func grantPath(g gust.Grant, path string) string {
	m := inStatement.FindStringSubmatch(path)
	if m == nil {
		return ""
	}
	switch m[1] {
	case "Sid":
		return ".sid" + m[2]
	case "Action":
		return "." + string(g.Effect) + m[2]
	case "Resource":
		return ".on"
	case "Condition":
		return ".when" + m[2]
	}
	return ""
}

// checkGrantAction is stricter than a document: an action that no service that
// is known has would never happen.
func checkGrantAction(a string) string {
	if wrong := checkAction(a); wrong != "" {
		return wrong
	}
	if text, known := checkKnown(a); text != "" && known {
		return text
	}
	return ""
}

func checkGrantResource(r string, actions []string) string {
	const want = `want function:NAME, an ARN, or "*"`
	if r == "*" || strings.HasPrefix(r, "arn:") {
		return checkResource(r, true)
	}
	kind, name, ok := strings.Cut(r, ":")
	switch {
	case !ok:
		return want + ", got " + quote(r)
	case slices.Contains(laterKinds, kind):
		return fmt.Sprintf("%s: there are no resources of kind %s in this version of gust; %s", quote(r), kind, want)
	case kind != FunctionKind:
		return want + ", got " + quote(r) + suggest.Word(kind, slices.Values([]string{FunctionKind}))
	case !isName(name):
		return fmt.Sprintf("%s names no function: want function:NAME, or the ARN of several with * in it", quote(r))
	}
	if slices.ContainsFunc(actions, func(a string) bool { return concerns(pattern{raw: a}, "lambda") }) {
		return ""
	}
	return fmt.Sprintf("nothing of what the entry lists, %s, is done to a function: functions have actions such as lambda:InvokeFunction", shorten(strings.Join(actions, ", ")))
}

func isName(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != "" && len(s) <= gust.MaxNameLength
}
