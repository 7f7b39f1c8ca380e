// Package xmldoc reads XML documents as the AWS protocols have them:
// elements that hold elements or text, a few attributes, no mixed content, and no
// declarations. A Reader gives a document element by element, so that whoever
// knows its type takes them, and nothing else of it is kept.
package xmldoc

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	gust "github.com/gust-dev/gust"
)

// Limits of a document, beside that on its size, which its sender is held to.
const (
	MaxDepth      = 128
	maxAttributes = 32
)

const (
	xmlSpace = "http://www.w3.org/XML/1998/namespace" // of the prefix xml
	mark     = "\ufeff"                               // may stand before a document
)

// Attribute is an attribute of an element, by its name without a prefix. What
// declares or uses XML's own (xmlns, xml:space, xsi:schemaLocation) is none.
type Attribute struct{ Name, Value string }

// Element is the beginning of an element. Names count without their namespace,
// of which AWS's clients send the right one, another or none.
type Element struct {
	Name       string
	Attributes []Attribute
}

// Attribute returns the value of an attribute, and whether it is there.
func (e *Element) Attribute(name string) (string, bool) {
	for _, a := range e.Attributes {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// Reader reads one document. What it does not take is gust.ErrInvalid, with the
// line and column where it stands; nothing can be read after that. An entity is
// one of the five that XML has, or a number: a declaration of others, and any
// document type, is refused, so that nothing is ever expanded or fetched.
type Reader struct {
	d    *xml.Decoder
	open []string // names of the elements that are being read
}

// NewReader reads from r, whose length has to be bounded.
func NewReader(r io.Reader) *Reader { return &Reader{d: xml.NewDecoder(r)} }

func (r *Reader) invalid(format string, args ...any) error {
	line, column := r.d.InputPos()
	return fmt.Errorf("%w: the XML document has before line %d column %d %s", gust.ErrInvalid, line, column, fmt.Sprintf(format, args...))
}

// token returns the next one that says something. At the end it is nil.
func (r *Reader) token() (xml.Token, error) {
	for {
		t, err := r.d.Token()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if syntax := (*xml.SyntaxError)(nil); errors.As(err, &syntax) {
			return nil, r.invalid("what is not XML, or not taken here: %s", syntax.Msg)
		}
		if err != nil {
			if strings.HasPrefix(err.Error(), "xml:") { // an encoding, which has no type of its own
				return nil, r.invalid("what is not taken here: %s", err)
			}
			return nil, err // of whom it is read from
		}
		switch t := t.(type) {
		case xml.Directive:
			return nil, r.invalid("a declaration <!%.20q, and declarations (DOCTYPE, ENTITY) are not taken", []byte(t))
		case xml.Comment, xml.ProcInst:
			continue
		}
		return t, nil
	}
}

func (r *Reader) begin(t *xml.StartElement) (*Element, error) {
	if len(r.open) == MaxDepth {
		return nil, r.invalid("elements more than %d deep", MaxDepth)
	}
	if len(t.Attr) > maxAttributes {
		return nil, r.invalid("%d attributes in <%s>, over the limit of %d", len(t.Attr), t.Name.Local, maxAttributes)
	}
	r.open = append(r.open, t.Name.Local)
	e := &Element{Name: t.Name.Local}
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns", a.Name.Space == xmlSpace,
			strings.HasSuffix(strings.ToLower(a.Name.Local), "schemalocation"):
			continue
		}
		if _, twice := e.Attribute(a.Name.Local); twice {
			return nil, r.invalid("the attribute %.80q twice in <%s>", a.Name.Local, e.Name)
		}
		e.Attributes = append(e.Attributes, Attribute{a.Name.Local, a.Value})
	}
	return e, nil
}

// Root begins the document's outermost element.
func (r *Reader) Root() (*Element, error) {
	e, err := r.next("the document")
	if err == nil && e == nil {
		err = r.invalid("its end, and no element")
	}
	return e, err
}

// Next begins the next element within the one that was begun last. It is nil when
// there is none: then that one is over, and the one around it goes on.
func (r *Reader) Next() (*Element, error) {
	return r.next("<" + r.open[len(r.open)-1] + ">")
}

func (r *Reader) next(where string) (*Element, error) {
	for {
		t, err := r.token()
		if err != nil || t == nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return r.begin(&t)
		case xml.EndElement:
			r.open = r.open[:len(r.open)-1]
			return nil, nil
		case xml.CharData:
			if text := strings.TrimSpace(strings.TrimPrefix(string(t), mark)); text != "" {
				return nil, r.invalid("the text %.80q in %s, where elements should stand", text, where)
			}
		}
	}
}

// Text reads the text of the element that was begun last, up to its end.
func (r *Reader) Text() (string, error) {
	var text []byte
	for {
		t, err := r.token()
		if err != nil {
			return "", err
		}
		name := r.open[len(r.open)-1]
		switch t := t.(type) {
		case xml.CharData:
			text = append(text, t...)
		case xml.StartElement:
			return "", r.invalid("<%.80s> in <%s>, where text should stand", t.Name.Local, name)
		case xml.EndElement:
			r.open = r.open[:len(r.open)-1]
			return string(text), nil
		}
	}
}

// End says what is wrong when something follows the outermost element.
func (r *Reader) End() error {
	e, err := r.next("the document, after its end")
	if err == nil && e != nil {
		err = r.invalid("<%.80s>, after its end", e.Name)
	}
	return err
}
