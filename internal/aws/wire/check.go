package wire

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	gust "github.com/gust-dev/gust"
)

// check is a shape's constraints, made ready.
type check struct {
	shape    *Shape
	min, max float64 // of the length or of the value
	sized    bool    // it is about the length
	pattern  func(string) bool
}

// check makes a shape's constraints ready, once; nil is a shape without.
func (p *planner) check(name string, s *Shape) (*check, error) {
	if s.Length == "" && s.Range == "" && s.Pattern == "" && s.Enum == nil {
		return nil, nil
	}
	if c := p.checks[name]; c != nil {
		return c, nil
	}
	c := &check{shape: s, min: math.Inf(-1), max: math.Inf(1), sized: s.Length != ""}
	var err error
	if bounds := s.Length + s.Range; bounds != "" {
		low, high, _ := strings.Cut(bounds, ":")
		if low != "" {
			c.min, err = strconv.ParseFloat(low, 64)
		}
		if high != "" && err == nil {
			c.max, err = strconv.ParseFloat(high, 64)
		}
	}
	if s.Pattern != "" && err == nil {
		c.pattern, err = matcher(cmp.Or(s.Match, s.Pattern))
	}
	if err != nil {
		return nil, fmt.Errorf("the shape %s: %w", name, err)
	}
	p.checks[name] = c
	return c, nil
}

// javaEscape is how the models write characters.
var javaEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// matcher makes a model's pattern ready to be matched with whole strings. Most
// patterns are a class of characters, repeated, for which no machine is needed.
func matcher(pattern string) (func(string) bool, error) {
	pattern = javaEscape.ReplaceAllString(pattern, `\x{$1}`)
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	for tree.Op == syntax.OpCapture {
		tree = tree.Sub[0]
	}
	if (tree.Op == syntax.OpPlus || tree.Op == syntax.OpStar) && tree.Sub[0].Op == syntax.OpCharClass {
		return classMatcher(tree.Sub[0].Rune, tree.Op == syntax.OpPlus), nil
	}
	re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, err
	}
	return re.MatchString, nil
}

// classMatcher matches strings of characters in ranges, which are sorted.
func classMatcher(ranges []rune, some bool) func(string) bool {
	var ascii [utf8.RuneSelf]bool
	in := func(r rune) bool {
		i, _ := slices.BinarySearch(ranges, r) // of a range's ends, which are in turn lower and upper
		return i < len(ranges) && (ranges[i] == r || i%2 == 1)
	}
	for r := range rune(utf8.RuneSelf) {
		ascii[r] = in(r)
	}
	return func(s string) bool {
		for _, r := range s {
			if r < utf8.RuneSelf && !ascii[r] || r >= utf8.RuneSelf && !in(r) {
				return false
			}
		}
		return !some || s != ""
	}
}

// path says where in a request a value is. It is made on the way down.
type path struct {
	up    *path
	name  string
	index int // from 1, of a list's member
}

func (p *path) String() string {
	if p == nil {
		return ""
	}
	name := p.name
	if name == "" {
		name = "member"
		if p.index > 0 {
			name = strconv.Itoa(p.index) + ".member"
		}
	}
	if p.up == nil {
		return name
	}
	return p.up.String() + "." + name
}

// findings are what a request has wrong, up to maxFindings of it.
type findings struct {
	texts []string
	count int
	// absent tells that something is missing: what is empty may be that.
	absent bool
	memory uintptr // that the members of its lists and maps take
}

const maxFindings = 10

func (f *findings) add(text func() string) {
	f.count++
	if len(f.texts) < maxFindings {
		f.texts = append(f.texts, text())
	}
}

// room tells whether a list or map that has n members may have one more, and
// the request as well: a struct with nothing in it takes more here than the two
// bytes that it came in.
func (f *findings) room(n int, of *node, at *path) error {
	if n >= MaxMembers {
		return problemf(tooLarge, "%s has over %d members", quoted(at.String()), MaxMembers)
	}
	if f.memory += of.typ.Size(); f.memory > MaxMemory {
		return problemf(tooLarge, "the members of the request's lists and maps take over %d bytes, up to %s", MaxMemory, quoted(at.String()))
	}
	return nil
}

// missing notes the members that a struct has to have, and does not.
func (f *findings) missing(s *structure, got *seen, at *path) {
	for _, need := range s.required {
		if !got.has(need) {
			f.absent = true
			f.add(func() string {
				return fmt.Sprintf("Value null at '%v' failed to satisfy constraint: Member must not be null", &path{up: at, name: need.label})
			})
		}
	}
}

// error is what AWS says of such a request; nil is of one that has nothing
// wrong.
func (f *findings) error() error {
	if f.count == 0 {
		return nil
	}
	plural := "s"
	if f.count == 1 {
		plural = ""
	}
	return &problem{kind: invalid, text: fmt.Sprintf("%d validation error%s detected: %s", f.count, plural, strings.Join(f.texts, "; "))}
}

// validate holds a value to its constraints.
func (f *findings) validate(n *node, v reflect.Value, at *path) {
	if n.check != nil {
		f.hold(n, v, at)
	}
	switch n.kind {
	case kindStruct:
		if n.fields.sound {
			return
		}
		for _, member := range n.fields.fields {
			if member.sound {
				continue
			}
			given := v.Field(member.index)
			if member.pointer {
				if given.IsNil() {
					continue
				}
				given = given.Elem()
			} else if given.IsZero() && (!member.required || f.absent) || member.kind == kindReader || member.kind == kindEvents {
				continue
			}
			f.validate(&member.node, given, &path{up: at, name: member.label})
		}
	case kindList:
		if n.elem.sound {
			return
		}
		for i := range v.Len() {
			f.validate(n.elem, v.Index(i), &path{up: at, index: i + 1})
		}
	case kindMap:
		if n.elem.sound && n.key.sound {
			return
		}
		for it := v.MapRange(); it.Next(); {
			f.validate(n.key, it.Key(), &path{up: at, name: "key"})
			f.validate(n.elem, it.Value(), &path{up: at, name: it.Key().String() + ".member"})
		}
	}
}

// hold holds one value to its check.
func (f *findings) hold(n *node, v reflect.Value, at *path) {
	c := n.check
	var size float64
	switch n.kind {
	case kindString:
		size = float64(utf8.RuneCountInString(v.String()))
	case kindBlob, kindList, kindMap:
		size = float64(v.Len())
	case kindInt:
		size = float64(v.Int())
	case kindFloat:
		size = v.Float()
	}
	than := "Member must have value "
	if c.sized {
		than = "Member must have length "
	}
	fail := func(constraint string) {
		f.add(func() string {
			value := "Value"
			if !n.sensitive {
				value += " '" + clip(fmt.Sprint(v.Interface())) + "'"
			}
			return fmt.Sprintf("%s at '%v' failed to satisfy constraint: %s", value, at, constraint)
		})
	}
	if size > c.max {
		fail(than + "less than or equal to " + strconv.FormatFloat(c.max, 'f', -1, 64))
	}
	if size < c.min {
		fail(than + "greater than or equal to " + strconv.FormatFloat(c.min, 'f', -1, 64))
	}
	if n.kind != kindString {
		return
	}
	if c.pattern != nil && !c.pattern(v.String()) {
		fail("Member must satisfy regular expression pattern: " + c.shape.Pattern)
	}
	if c.shape.Enum != nil && !slices.Contains(c.shape.Enum, v.String()) {
		fail("Member must satisfy enum value set: [" + strings.Join(c.shape.Enum, ", ") + "]")
	}
}

// clip is s for an error, not too long.
func clip(s string) string { return gust.Clip(s, 120) }
