package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Document is a policy as it was given. One that was stored is parsed soon after
// the start, or when it is first needed before that: thousands of policies do not
// keep a node from starting.
type Document struct{ *document }

type document struct {
	kind  policy.Kind
	text  string
	bound map[string]string
	owner string // of a function's policy: the ID of the function's own role
	once  sync.Once
	doc   *policy.Document
	err   error
}

// JSON is the document as it was given.
func (d *document) JSON() []byte { return []byte(d.text) }

// parsed fails with gust.ErrCorrupt: no document is stored that does not parse.
func (d *document) parsed() (*policy.Document, error) {
	d.once.Do(func() {
		if d.doc != nil {
			return
		}
		if d.doc, d.err = policy.Parse(d.kind, []byte(d.text)); d.err != nil {
			d.err = fmt.Errorf("%w: %w", gust.ErrCorrupt, d.err)
		}
	})
	return d.doc, d.err
}

// mean makes s whom the document means by its principals: those whom it was
// written about, by their unique IDs, as with AWS. Who has got the name of one of
// them since is not meant, and who has been renamed since still is, so that
// nobody escapes a deny by another name.
func (d *document) mean(s *policy.Subject) {
	id, _, _ := strings.Cut(s.ID, ":")
	for arn, of := range d.bound {
		switch {
		case arn == s.ARN && of != id:
			s.ARN = s.ID
		case arn == s.RoleARN && of != id:
			s.RoleARN = id
		case of == id && s.RoleARN == "": // a user: roles have one name all their lives
			s.ARN = arn
		}
	}
}

// newDocument reads a document that somebody gave, and refuses one of more
// characters than over allows, white space not counted.
func newDocument(kind policy.Kind, what, text string, over LimitError) (Document, error) {
	doc, err := policy.Parse(kind, []byte(text))
	if err != nil {
		return Document{}, &MalformedPolicyError{what, err}
	}
	if sizeOf(text) > over.Limit {
		over.What = fmt.Sprintf("characters of the %s, white space not counted", what)
		return Document{}, &over
	}
	return Document{&document{kind: kind, text: text, doc: doc}}, nil
}

// sizeOf counts a document as AWS does.
func sizeOf(text string) (n int) {
	for _, r := range text {
		if r != ' ' && r != '\t' && r != '\n' && r != '\r' {
			n++
		}
	}
	return n
}

// documentRecord is a document as it is stored.
type documentRecord struct {
	Kind policy.Kind `json:"kind,omitempty"`
	Text string      `json:"text"`
	// Bound are the unique IDs of the users and roles that the document names,
	// by their ARNs. Whoever gets such a name later is somebody else.
	Bound map[string]string `json:"bound,omitempty"`
	// Owner is the unique ID of the own role of the function whose policy it is.
	Owner string `json:"owner,omitempty"`
}

// IsZero tells that there is none.
func (d Document) IsZero() bool { return d.document == nil }

// MarshalJSON writes a record.
func (d Document) MarshalJSON() ([]byte, error) {
	return json.Marshal(documentRecord{d.kind, d.text, d.bound, d.owner})
}

// UnmarshalJSON reads a record.
func (d *Document) UnmarshalJSON(data []byte) error {
	var r documentRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	if !json.Valid([]byte(r.Text)) {
		return errors.New("a policy in it is no JSON")
	}
	d.document = &document{kind: r.Kind, text: r.Text, bound: r.Bound, owner: r.Owner}
	return nil
}
