package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest/rules"
)

// schema is the part of JSON Schema (draft 2020-12) that describes manifests.
type schema struct {
	Dialect       string             `json:"$schema,omitempty"`
	Title         string             `json:"title,omitempty"`
	Description   string             `json:"description,omitempty"`
	Type          any                `json:"type,omitempty"` // a name or a list of names
	Enum          []string           `json:"enum,omitempty"`
	Const         string             `json:"const,omitempty"`
	Default       any                `json:"default,omitempty"`
	Examples      []any              `json:"examples,omitempty"`
	Pattern       string             `json:"pattern,omitempty"`
	MinLength     int                `json:"minLength,omitempty"`
	MaxLength     int                `json:"maxLength,omitempty"`
	Minimum       *int               `json:"minimum,omitempty"`
	Maximum       *int               `json:"maximum,omitempty"`
	Items         *schema            `json:"items,omitempty"`
	MinItems      int                `json:"minItems,omitempty"`
	MaxItems      int                `json:"maxItems,omitempty"`
	Properties    map[string]*schema `json:"properties,omitempty"`
	PropertyNames *schema            `json:"propertyNames,omitempty"`
	MinProperties int                `json:"minProperties,omitempty"`
	MaxProperties int                `json:"maxProperties,omitempty"`
	Additional    any                `json:"additionalProperties,omitempty"` // a *schema or false
	Required      []string           `json:"required,omitempty"`
	If            *schema            `json:"if,omitempty"`
	Then          *schema            `json:"then,omitempty"`
	Else          *schema            `json:"else,omitempty"`
	Not           *schema            `json:"not,omitempty"`
	AllOf         []*schema          `json:"allOf,omitempty"`
	AnyOf         []*schema          `json:"anyOf,omitempty"`
}

// Schema is the JSON Schema (draft 2020-12) of a manifest, for editors. It
// takes every manifest that Parse takes; Parse refuses some more, for what a
// schema cannot say (the bounds of sizes, routes to functions that are not
// there).
func Schema() []byte {
	s := manifestFields.schema()
	s.Dialect = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "Gust manifest (" + FileName + ")"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil { // nothing in it can fail to marshal
		panic(err)
	}
	return b.Bytes()
}

func (o *object) schema() *schema {
	s := &schema{Type: "object", Properties: make(map[string]*schema), Additional: false}
	for _, f := range o.fields {
		sub := f.value.schema()
		sub.Description = f.doc
		if def := f.standard(); def != "" && !f.required {
			sub.Description += " Default: " + def + "."
		}
		s.Properties[f.key] = sub
		if f.required {
			s.Required = append(s.Required, f.key)
		}
		if f.only != nil {
			rule := &schema{
				If:   &schema{Properties: map[string]*schema{"runtime": {Pattern: "^(" + strings.Join(names(f.only), "|") + ")(@|$)"}}},
				Else: &schema{Properties: map[string]*schema{f.key: {Not: &schema{}}}},
			}
			if f.key == "handler" {
				rule.Then = &schema{Required: []string{f.key}}
			}
			s.AllOf = append(s.AllOf, rule)
		}
	}
	return s
}

func (v functions) schema() *schema {
	return &schema{Type: "object", PropertyNames: &schema{Pattern: rules.FunctionNamePattern},
		MaxProperties: gust.MaxFunctions, Additional: v.each.schema()}
}

func (v layers) schema() *schema {
	return &schema{Type: "object", PropertyNames: &schema{Pattern: rules.AppNamePattern}, Additional: v.each.schema()}
}

func (truth) schema() *schema { return &schema{Type: "boolean"} }

func (v text) schema() *schema {
	return &schema{Type: "string", Pattern: v.pattern, MaxLength: v.max}
}

func (v choice) schema() *schema {
	s := &schema{Type: "string", Enum: v.of}
	if v.def != "" {
		s.Default = v.def
	}
	return s
}

func (v size) schema() *schema {
	return &schema{Type: "string", Pattern: rules.SizePattern, Default: rules.FormatSize(v.bounds.Default),
		Examples: []any{rules.FormatSize(v.bounds.Min), rules.FormatSize(v.bounds.Max)}}
}

func (v duration) schema() *schema {
	s := &schema{Type: "string", Pattern: rules.DurationPattern, Examples: []any{rules.FormatDuration(v.bounds.Min), rules.FormatDuration(v.bounds.Max)}}
	if v.bounds.Default != 0 {
		s.Default = rules.FormatDuration(v.bounds.Default)
		s.Examples[0] = s.Default
	}
	return s
}

func (v count) schema() *schema {
	return &schema{Type: "integer", Minimum: &v.bounds.Min, Maximum: &v.bounds.Max}
}

func (v list) schema() *schema {
	return &schema{Type: "array", Items: &schema{Type: []string{"string", "number", "boolean"}, Pattern: v.item}, MinItems: 1, MaxItems: v.most}
}

func (network) schema() *schema {
	return &schema{Type: []string{"string", "array"}, AnyOf: []*schema{{Enum: networkModes.of}, networkList.schema()}, Default: networkModes.def}
}

func (v objects) schema() *schema {
	return &schema{Type: "array", Items: v.each.schema(), MinItems: 1, MaxItems: v.max}
}

func (environment) schema() *schema {
	return &schema{Type: "object", PropertyNames: &schema{Pattern: rules.EnvNamePattern},
		Additional: &schema{Type: []string{"string", "number", "boolean"}}}
}

func (routes) schema() *schema {
	methods := strings.Join(rules.Methods, "|")
	return &schema{Type: "object", PropertyNames: &schema{Pattern: `^\s*(ANY|\*|` + methods + `)\s+/\S*\s*$`},
		MaxProperties: gust.MaxRoutes, Additional: &schema{Type: "string", Pattern: rules.FunctionNamePattern}}
}

// Reference is the manifest's reference in Markdown, a table an object.
func Reference() []byte {
	var b bytes.Buffer
	for _, o := range []struct {
		title string
		*object
	}{
		{"The file", manifestFields},
		{"A function", functionFields},
		{"`build`", buildFields},
		{"`concurrency`", concurrencyFields},
		{"An entry of `schedule`", scheduleFields},
		{"`queue`", queueFields},
		{"An entry of `policy`", grantFields},
		{"A layer", layerFields},
	} {
		fmt.Fprintf(&b, "### %s\n\n| key | value | default | |\n|---|---|---|---|\n", o.title)
		for _, f := range o.fields {
			doc := f.doc
			if f.only != nil {
				doc = "Runtime " + choice{of: names(f.only)}.words() + " only. " + doc
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.key, cell(f.value.words()), cell(f.standard()), cell(doc))
		}
		b.WriteByte('\n')
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// standard is what a field is when it is left out.
func (f field) standard() string {
	if f.required {
		return "required"
	}
	switch v := f.value.(type) {
	case size:
		return rules.FormatSize(v.bounds.Default)
	case duration:
		if v.bounds.Default == 0 && v.note != "" {
			return v.note
		}
		if v.note != "" {
			return rules.FormatDuration(v.bounds.Default) + "; " + v.note
		}
		return rules.FormatDuration(v.bounds.Default)
	case count:
		return v.note
	case truth:
		return v.note
	case choice:
		return v.def
	case network:
		return networkModes.def
	case text:
		return v.def
	default:
		return ""
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
