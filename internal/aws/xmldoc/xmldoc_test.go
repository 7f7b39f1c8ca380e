package xmldoc

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	gust "github.com/gust-dev/gust"
)

// tree reads a document as its elements: name, attributes, text or elements. It
// looks for text where no element is.
func tree(in string) (string, error) {
	r := NewReader(strings.NewReader(in))
	e, err := r.Root()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	var read func(*Element) error
	read = func(e *Element) error {
		fmt.Fprintf(&b, "%s%v(", e.Name, e.Attributes)
		defer b.WriteByte(')')
		if strings.ToLower(e.Name) == e.Name {
			text, err := r.Text()
			b.WriteString(text)
			return err
		}
		for {
			child, err := r.Next()
			if err != nil || child == nil {
				return err
			}
			if err := read(child); err != nil {
				return err
			}
		}
	}
	if err := read(e); err != nil {
		return "", err
	}
	return b.String(), r.End()
}

func TestReader(t *testing.T) {
	for in, want := range map[string]string{
		`<A/>`: "A[]()",
		"\ufeff" + `<?xml version="1.0" encoding="utf-8"?> <!-- none --> <A xmlns="http://s3.amazonaws.com/doc/2006-03-01/"> <b>1</b> <B><c/></B> </A> <!-- end -->`: "A[](b[](1)B[](c[]()))",
		`<x:A xmlns:x="urn:x"><x:b> a b </x:b></x:A>`:                                                                                   "A[](b[]( a b ))",
		`<A><b>&lt;&gt;&amp;&quot;&apos;&#x41;&#66;</b></A>`:                                                                            `A[](b[](<>&"'AB))`,
		"<A><b><![CDATA[<no>&]]> and\r\nmore<!-- none -->&#xD;</b></A>":                                                                 "A[](b[](<no>& and\nmore\r))",
		`<A xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="x" xml:space="preserve" xsi:type="Group" n="1"/>`: "A[{type Group} {n 1}]()",
	} {
		if got, err := tree(in); err != nil || got != want {
			t.Errorf("%s\nis %q, %v\nwant %q", in, got, err, want)
		}
	}
	r := NewReader(strings.NewReader(`<A><e n="1">2</e></A>`))
	if _, err := r.Root(); err != nil {
		t.Fatal(err)
	}
	e, err := r.Next()
	if err != nil || e.Name != "e" {
		t.Fatal(e, err)
	}
	if n, ok := e.Attribute("n"); !ok || n != "1" {
		t.Error(n, ok)
	}
	if _, ok := e.Attribute("N"); ok {
		t.Error("attributes are found by another case")
	}
}

func TestRefusals(t *testing.T) {
	for in, what := range map[string]string{
		"":                   "no element",
		"text":               `the text "text" in the document`,
		"<A>":                "unexpected EOF",
		"<A></B>":            "element <A> closed by </B>",
		"<A/><B/>":           "<B>, after its end",
		"<A/>x":              `"x" in the document, after its end`,
		"<A>x</A>":           `the text "x" in <A>`,
		"<A><b><c/></b></A>": "<c> in <b>, where text should stand",
		"<A>\x01</A>":        "illegal character code",
		"<A>\xff</A>":        "UTF-8",
		"<A>&nbsp;</A>":      "entity &nbsp;",
		"<A>&#1;</A>":        "illegal character code",
		`<A n="1" n="2"/>`:   `"n" twice in <A>`,
		`<?xml version="1.0" encoding="latin1"?><A/>`:          "latin1",
		`<?xml version="1.1"?><A/>`:                            "version",
		`<!DOCTYPE A><A/>`:                                     "declaration",
		`<A><!ENTITY x "y"></A>`:                               "declaration",
		"<A" + strings.Repeat(` a=""`, maxAttributes+1) + "/>": "33 attributes",
		strings.Repeat("<A>", MaxDepth+1):                      "128 deep",
	} {
		if _, err := tree(in); !errors.Is(err, gust.ErrInvalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("%.100s: %v, want %q", in, err, what)
		}
	}
	broken := errors.New("broken")
	if _, err := NewReader(io.MultiReader(strings.NewReader("<A"), readerOf{broken})).Root(); !errors.Is(err, broken) || errors.Is(err, gust.ErrInvalid) {
		t.Errorf("a reader's own error: %v", err)
	}
}

type readerOf struct{ error }

func (r readerOf) Read([]byte) (int, error) { return 0, r.error }

// TestBombs: entities that would grow, or fetch files, and documents that are
// deep, are refused by what they are, at the price of their first bytes.
func TestBombs(t *testing.T) {
	laughs := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">`
	for i := range 9 {
		laughs += fmt.Sprintf(`<!ENTITY lol%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&lol%d;", i), 10))
	}
	for name, in := range map[string]string{
		"a billion laughs":        laughs + `]><A>&lol9;</A>`,
		"one large entity":        `<!DOCTYPE x [<!ENTITY a "` + strings.Repeat("a", 100<<10) + `">]><A>` + strings.Repeat("&a;", 10<<10) + `</A>`,
		"a file":                  `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><A>&a;</A>`,
		"another document's type": `<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><A/>`,
		"deep":                    strings.Repeat("<A>", 1<<18),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := NewReader(strings.NewReader(in))
		_, err := r.Root()
		for e := (&Element{}); err == nil && e != nil; {
			e, err = r.Next()
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, gust.ErrInvalid) || n > 1<<20 {
			t.Errorf("%s: %v, and %d bytes were taken", name, err, n)
		}
		if !strings.Contains(err.Error(), "declaration") && !strings.Contains(err.Error(), "deep") {
			t.Errorf("%s is refused for something else: %v", name, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range []string{`<A><b>1</b><B><c/></B></A>`, `<A xsi:type="x" n="&lt;"/>`, `<!DOCTYPE x [<!ENTITY a "b">]><A>&a;</A>`, "<A><b><![CDATA[<]]>&#xD;</b></A>",
		`<?xml version="1.0"?><x:A xmlns:x="y"><!-- c --></x:A>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r := NewReader(strings.NewReader(in))
		e, err := r.Root()
		if err != nil {
			return
		}
		// What was read as text and is written is read again as it was.
		if text, err := r.Text(); err == nil {
			var b strings.Builder
			xml.EscapeText(&b, []byte(text)) //nolint:errcheck // a builder takes all
			if got, err := tree("<a>" + b.String() + "</a>"); err != nil || got != "a[]("+text+")" {
				t.Fatalf("%q in %s became %q, %v", text, e.Name, got, err)
			}
		}
		tree(in) //nolint:errcheck // that it ends, and without a panic
	})
}

func BenchmarkRead(b *testing.B) {
	in := `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + strings.Repeat(`<Object><key>a/b</key></Object>`, 3) + `</Delete>`
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := tree(in); err != nil {
			b.Fatal(err)
		}
	}
}
