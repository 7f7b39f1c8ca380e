package xmldoc

import (
	"bytes"
	"encoding/xml"
)

// ContentType is the media type of documents.
const ContentType = "text/xml"

// Writer writes one document. Its zero value is an empty one.
type Writer struct{ b bytes.Buffer }

// Declare writes the declaration with which a document begins.
func (w *Writer) Declare() { w.b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n") }

// Open begins an element. Its attributes have their names as they are written:
// xmlns, xsi:type.
func (w *Writer) Open(name string, attributes ...Attribute) {
	w.b.WriteByte('<')
	w.b.WriteString(name)
	for _, a := range attributes {
		w.b.WriteByte(' ')
		w.b.WriteString(a.Name)
		w.b.WriteString(`="`)
		w.Text(a.Value)
		w.b.WriteByte('"')
	}
	w.b.WriteByte('>')
}

// Text writes text. What means something to XML, tabs, and ends of lines are
// escaped, so that they come back as they were; what XML cannot have (U+0001, half
// a character) becomes U+FFFD.
func (w *Writer) Text(s string) {
	xml.EscapeText(&w.b, []byte(s)) //nolint:errcheck // a buffer takes all
}

// Close ends an element.
func (w *Writer) Close(name string) {
	w.b.WriteString("</")
	w.b.WriteString(name)
	w.b.WriteByte('>')
}

// Element writes an element that holds text.
func (w *Writer) Element(name, text string) {
	w.Open(name)
	w.Text(text)
	w.Close(name)
}

// Bytes returns the document, until more is written.
func (w *Writer) Bytes() []byte { return w.b.Bytes() }
