package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// maxDepth bounds how deep a manifest's mappings and lists nest. Nothing that
// means anything is deeper than 6.
const maxDepth = 32

// document reads data as one YAML document and returns its root, or nil after
// it reported why there is none.
func (p *parser) document(data []byte) *yaml.Node {
	if len(data) > gust.MaxManifest {
		p.report(spot{}, tooLarge(int64(len(data))))
		return nil
	}
	if !p.text(data) {
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		p.report(spot{}, "the manifest is empty: it needs at least app: NAME")
		return nil
	case err != nil:
		p.syntax(data, err)
		return nil
	}
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case err == nil:
		p.report(spot{line: second.Line, column: second.Column}, "a second document begins here: a manifest is one document, without --- in it")
		return nil
	case !errors.Is(err, io.EOF):
		p.syntax(data, err)
		return nil
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		p.report(spot{}, "the manifest is empty: it needs at least app: NAME")
		return nil
	}
	root := doc.Content[0]
	if !p.survey(root, 1) {
		return nil
	}
	return root
}

func tooLarge(size int64) string {
	return fmt.Sprintf("the manifest has %d bytes, above the maximum of %s", size, rules.FormatSize(gust.MaxManifest))
}

// text reports bytes that are not text, where they are.
func (p *parser) text(data []byte) bool {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		p.report(spot{line: 1, column: 1}, "the manifest is UTF-16: save it as UTF-8")
		return false
	}
	rest := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for line, column := 1, 1; len(rest) > 0; column++ {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			p.report(spot{line: line, column: column}, fmt.Sprintf("the byte 0x%02x is not UTF-8: save the manifest as UTF-8", rest[0]))
			return false
		case r == '\n':
			line, column = line+1, 0
		case r < ' ' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff || r == 0xfeff:
			p.report(spot{line: line, column: column}, fmt.Sprintf("the control character %U cannot stand in a manifest; in quotes it can be written as an escape", r))
			return false
		}
		rest = rest[size:]
	}
	return true
}

var yamlError = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// syntax reports what the YAML reader says, at the line it names.
func (p *parser) syntax(data []byte, err error) {
	at, text := spot{line: 1, column: 1}, err.Error()
	if m := yamlError.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			at.line = n
		}
	}
	lines := strings.Split(string(data), "\n")
	at.line = min(max(at.line, 1), len(lines))
	// The reader names the line where it lost the thread: a tab is often on
	// that one or just after it.
	for n := at.line; n <= min(at.line+1, len(lines)); n++ {
		line := lines[n-1]
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
			p.report(spot{line: n, column: tab + 1}, "the line is indented with a tab: YAML wants spaces")
			return
		}
	}
	if star := strings.Index(lines[at.line-1], " *"); star >= 0 && strings.Contains(text, "expected alphabetic or numeric") {
		at.column = star + 2
		text = `what begins with * has to be in quotes, such as "*/5 * * * *"`
	}
	p.report(at, "not valid YAML: "+text)
}

// survey reports what no manifest holds wherever it stands: anchors, aliases,
// merge keys, tags, and nesting that is too deep. It returns false when the
// tree must not be walked any further.
func (p *parser) survey(n *yaml.Node, depth int) bool {
	at := spot{line: n.Line, column: n.Column}
	switch {
	case depth > maxDepth:
		p.report(at, fmt.Sprintf("mappings and lists are nested more than %d deep", maxDepth))
		return false
	case n.Kind == yaml.AliasNode:
		p.report(at, fmt.Sprintf("the alias *%s: a manifest has no aliases; write the value out", cut(n.Value)))
		return true
	case n.Anchor != "":
		p.report(at, fmt.Sprintf("the anchor &%s: a manifest has no anchors; remove it", cut(n.Anchor)))
	case n.Style&yaml.TaggedStyle != 0:
		p.report(at, fmt.Sprintf("the tag %s: a manifest has no tags; write the plain value", cut(n.Tag)))
	case n.Kind == yaml.ScalarNode && n.Tag == "!!merge":
		p.report(at, "the merge key <<: a manifest has no merge keys; write the values out")
	}
	for _, child := range n.Content {
		if !p.survey(child, depth+1) {
			return false
		}
	}
	return true
}

func cut(s string) string {
	return strings.Trim(rules.Quote(s), `"`)
}
