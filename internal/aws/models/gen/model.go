package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// manifest is models.json: which models are used, and what of them.
type manifest struct {
	// Botocore is the version of botocore that the models come from.
	Botocore string             `json:"botocore"`
	Services map[string]*choice `json:"services"`
}

// choice is what is used of one service's model.
type choice struct {
	// Model is the model's folder in botocore/data.
	Model string `json:"model"`
	// Operations are those whose shapes are kept. Of the others, their names
	// and paths are.
	Operations []string `json:"operations"`
	// Without are members that are left out: "Shape.Member".
	Without []string `json:"without,omitempty"`
	// Errors are those that are kept; nil is all of the used operations.
	Errors []string `json:"errors,omitempty"`
	// Namespace is that of the service's XML, and Documents the names of its
	// documents by their shapes, of a service whose model does not have them.
	Namespace string            `json:"namespace,omitempty"`
	Documents map[string]string `json:"documents,omitempty"`
	// Unchecked are shapes whose constraints the service holds itself, with more
	// to say.
	Unchecked []string `json:"unchecked,omitempty"`
	// Patterns are written anew for what Go's regular expressions lack.
	Patterns map[string]string `json:"patterns,omitempty"`
}

// model is what of a published service model (service-2.json) is kept.
type model struct {
	Notice     string                `json:"notice"`
	Metadata   metadata              `json:"metadata"`
	Operations map[string]*operation `json:"operations"`
	Shapes     map[string]*shape     `json:"shapes"`
}

type metadata struct {
	APIVersion      string          `json:"apiVersion"`
	EndpointPrefix  string          `json:"endpointPrefix"`
	JSONVersion     string          `json:"jsonVersion,omitempty"`
	Protocol        string          `json:"protocol"`
	Protocols       []string        `json:"protocols,omitempty"`
	ServiceFullName string          `json:"serviceFullName"`
	SigningName     string          `json:"signingName,omitempty"`
	TargetPrefix    string          `json:"targetPrefix,omitempty"`
	QueryCompatible json.RawMessage `json:"awsQueryCompatible,omitempty"`
	XMLNamespace    string          `json:"xmlNamespace,omitempty"`
}

type operation struct {
	HTTP   binding      `json:"http"`
	Input  *reference   `json:"input,omitempty"`
	Output *reference   `json:"output,omitempty"`
	Errors []*reference `json:"errors,omitempty"`
}

type binding struct {
	Method       string `json:"method"`
	RequestURI   string `json:"requestUri"`
	ResponseCode int    `json:"responseCode,omitempty"`
	// Wants are what tells the operation from others of the same path:
	// parameters of the query ("?uploadId") and headers that it has to have.
	Wants []string `json:"wants,omitempty"`
}

// reference is the use of a shape: by a member, a list, a map or an operation.
type reference struct {
	Shape         string        `json:"shape"`
	ResultWrapper string        `json:"resultWrapper,omitempty"`
	Location      string        `json:"location,omitempty"`
	LocationName  string        `json:"locationName,omitempty"`
	Flattened     bool          `json:"flattened,omitempty"`
	XMLAttribute  bool          `json:"xmlAttribute,omitempty"`
	XMLNamespace  *xmlNamespace `json:"xmlNamespace,omitempty"`
	Streaming     bool          `json:"streaming,omitempty"`
	EventPayload  bool          `json:"eventpayload,omitempty"`
	EventHeader   bool          `json:"eventheader,omitempty"`
	JSONValue     bool          `json:"jsonvalue,omitempty"`
	Timestamp     string        `json:"timestampFormat,omitempty"`
}

type xmlNamespace struct {
	Prefix string `json:"prefix,omitempty"`
	URI    string `json:"uri"`
}

type shape struct {
	Type         string          `json:"type"`
	Required     []string        `json:"required,omitempty"`
	Members      members         `json:"members,omitempty"`
	Payload      string          `json:"payload,omitempty"`
	Member       *reference      `json:"member,omitempty"`
	Key          *reference      `json:"key,omitempty"`
	Value        *reference      `json:"value,omitempty"`
	Flattened    bool            `json:"flattened,omitempty"`
	LocationName string          `json:"locationName,omitempty"`
	XMLNamespace *xmlNamespace   `json:"xmlNamespace,omitempty"`
	Min          json.Number     `json:"min,omitempty"`
	Max          json.Number     `json:"max,omitempty"`
	Pattern      string          `json:"pattern,omitempty"`
	Enum         []string        `json:"enum,omitempty"`
	Sensitive    bool            `json:"sensitive,omitempty"`
	Union        bool            `json:"union,omitempty"`
	Document     bool            `json:"document,omitempty"`
	Streaming    bool            `json:"streaming,omitempty"`
	EventStream  bool            `json:"eventstream,omitempty"`
	Timestamp    string          `json:"timestampFormat,omitempty"`
	Exception    bool            `json:"exception,omitempty"`
	Fault        bool            `json:"fault,omitempty"`
	Error        *exceptionError `json:"error,omitempty"`
}

type exceptionError struct {
	Code           string `json:"code,omitempty"`
	HTTPStatusCode int    `json:"httpStatusCode,omitempty"`
	SenderFault    bool   `json:"senderFault,omitempty"`
}

// members keep the order of the model.
type members []member

type member struct {
	Name string
	reference
}

func (m *members) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("members are no object: %v", err)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		one := member{Name: t.(string)}
		if err := d.Decode(&one.reference); err != nil {
			return fmt.Errorf("member %s: %w", one.Name, err)
		}
		*m = append(*m, one)
	}
	return nil
}

func (m members) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, one := range m {
		if i > 0 {
			b = append(b, ',')
		}
		doc, err := marshal(one.reference)
		if err != nil {
			return nil, err
		}
		b = fmt.Appendf(b, "%q:%s", one.Name, doc)
	}
	return append(b, '}'), nil
}

// marshal is json.Marshal without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// readJSON reads a document that has nothing but what v has.
func readJSON(file string, v any) error {
	doc, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// write writes a trimmed model, a line for each operation and each shape, so
// that a newer one can be compared.
func (m *model) write(file string) error {
	var b bytes.Buffer
	meta, err := marshal(m.Metadata)
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "{\n\"notice\": %q,\n\"metadata\": %s,\n", m.Notice, meta)
	if err := writeLines(&b, "operations", m.Operations); err != nil {
		return err
	}
	b.WriteString(",\n")
	if err := writeLines(&b, "shapes", m.Shapes); err != nil {
		return err
	}
	b.WriteString("\n}\n")
	return os.WriteFile(file, b.Bytes(), 0o644)
}

func writeLines[T any](b *bytes.Buffer, name string, entries map[string]T) error {
	fmt.Fprintf(b, "%q: {", name)
	for i, key := range slices.Sorted(maps.Keys(entries)) {
		if i > 0 {
			b.WriteByte(',')
		}
		doc, err := marshal(entries[key])
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\n  %q: %s", key, doc)
	}
	b.WriteString("\n}")
	return nil
}

func readManifest(models string) (*manifest, error) {
	m := &manifest{}
	return m, readJSON(filepath.Join(models, "models.json"), m)
}
