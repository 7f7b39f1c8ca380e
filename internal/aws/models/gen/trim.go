package main

import (
	"archive/zip"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// trim writes the models that the manifest names, out of botocore's wheel, with
// nothing but what is used.
func trim(wheel, models string) error {
	m, err := readManifest(models)
	if err != nil {
		return err
	}
	if want := "botocore-" + m.Botocore + "-"; !strings.HasPrefix(filepath.Base(wheel), want) {
		return fmt.Errorf("%s is not botocore %s, which models.json names", wheel, m.Botocore)
	}
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer z.Close()
	for name, c := range m.Services {
		full, err := readPublished(&z.Reader, "botocore/data/"+c.Model+"/service-2.json.gz")
		if err != nil {
			return fmt.Errorf("the model of %s: %w", name, err)
		}
		full.Notice = "Made from botocore " + m.Botocore + ", " + c.Model + "/service-2.json. Copyright Amazon.com, Inc. or its affiliates. " +
			"Apache License 2.0; see NOTICE."
		if err := full.trim(c); err != nil {
			return fmt.Errorf("the model of %s: %w", name, err)
		}
		if err := full.write(filepath.Join(models, name+".json")); err != nil {
			return err
		}
	}
	return nil
}

func readPublished(z *zip.Reader, path string) (*model, error) {
	f, err := z.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	m := &model{}
	return m, json.NewDecoder(unzipped).Decode(m) // much of it is nothing to us
}

// trim leaves the names and paths of all operations, and the shapes that the
// chosen ones reach.
func (m *model) trim(c *choice) error {
	for _, without := range c.Without {
		if err := m.leaveOut(without); err != nil {
			return err
		}
	}
	if c.Namespace != "" {
		m.Metadata.XMLNamespace = c.Namespace
	}
	for name, element := range c.Documents {
		if m.Shapes[name] == nil {
			return fmt.Errorf("there is no shape %s to be the document %s", name, element)
		}
		m.Shapes[name].LocationName = element
	}
	m.tellApart()
	for _, name := range c.Unchecked {
		s := m.Shapes[name]
		if s == nil {
			return fmt.Errorf("there is no shape %s to leave unchecked", name)
		}
		s.Min, s.Max, s.Pattern, s.Enum = "", "", "", nil
	}
	kept := map[string]*shape{}
	for name, op := range m.Operations {
		if !slices.Contains(c.Operations, name) {
			m.Operations[name] = &operation{HTTP: op.HTTP}
			continue
		}
		for _, ref := range []*reference{op.Input, op.Output} {
			if ref == nil {
				continue
			}
			if err := m.keep(kept, ref.Shape); err != nil {
				return err
			}
		}
		op.Errors = slices.DeleteFunc(op.Errors, func(e *reference) bool { return c.Errors != nil && !slices.Contains(c.Errors, e.Shape) })
		for _, e := range op.Errors {
			if err := m.keep(kept, e.Shape); err != nil {
				return err
			}
		}
	}
	for _, name := range c.Operations {
		if m.Operations[name] == nil {
			return fmt.Errorf("there is no operation %s", name)
		}
	}
	m.Shapes = kept
	return nil
}

// tellApart finds what tells operations with the same method and path from each
// other: what is in the query or in headers, and has to be.
func (m *model) tellApart() {
	same := map[string][]*operation{}
	for _, op := range m.Operations {
		at := op.HTTP.Method + " " + op.HTTP.RequestURI
		same[at] = append(same[at], op)
	}
	for _, ops := range same {
		for _, op := range ops {
			if len(ops) == 1 || op.Input == nil {
				continue
			}
			in := m.Shapes[op.Input.Shape]
			for _, one := range in.Members {
				switch {
				case !slices.Contains(in.Required, one.Name):
				case one.Location == "querystring":
					op.HTTP.Wants = append(op.HTTP.Wants, "?"+one.LocationName)
				case one.Location == "header":
					op.HTTP.Wants = append(op.HTTP.Wants, one.LocationName)
				}
			}
		}
	}
}

// leaveOut takes a member away: "Shape.Member".
func (m *model) leaveOut(without string) error {
	name, gone, _ := strings.Cut(without, ".")
	s := m.Shapes[name]
	if s == nil {
		return fmt.Errorf("there is no shape %s to leave %s out of", name, gone)
	}
	before := len(s.Members)
	s.Members = slices.DeleteFunc(s.Members, func(one member) bool { return one.Name == gone })
	s.Required = slices.DeleteFunc(s.Required, func(one string) bool { return one == gone })
	if len(s.Members) == before {
		return fmt.Errorf("the shape %s has no member %s", name, gone)
	}
	return nil
}

func (m *model) keep(kept map[string]*shape, name string) error {
	if kept[name] != nil {
		return nil
	}
	s := m.Shapes[name]
	if s == nil {
		return fmt.Errorf("there is no shape %s", name)
	}
	kept[name] = s
	for i := range s.Members {
		if err := m.keep(kept, s.Members[i].Shape); err != nil {
			return err
		}
	}
	for _, ref := range []*reference{s.Member, s.Key, s.Value} {
		if ref == nil {
			continue
		}
		if err := m.keep(kept, ref.Shape); err != nil {
			return err
		}
	}
	return nil
}
