package wire

import (
	"cmp"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// restJSON is REST-JSON: members in the path, the query, headers and the body.
type restJSON struct{}

func (restJSON) decode(x *exchange, in reflect.Value, found *findings) error {
	return x.receiveREST(in, found, func(_ *field, s *structure, v reflect.Value, got *seen) error {
		d := jsonDecoder{data: x.body, found: found}
		return d.object(s, v, got)
	})
}

func (c restJSON) encode(x *exchange, out reflect.Value) error {
	return x.answerREST(c, out, func(_ *field, s *structure, v reflect.Value) []byte { return c.document(s, v) })
}

func (restJSON) media() string { return "application/json" }

func (restJSON) document(s *structure, v reflect.Value) []byte {
	w := jsonWriter{}
	w.object(s, v)
	return w.buf
}

// fault has the further members first, as the Lambda API has them.
func (restJSON) fault(of *service, e *Error) []byte {
	w := jsonWriter{buf: []byte{'{'}}
	if s, v, ok := of.detail(e); ok {
		w.members(s, v)
	}
	w.member(e.member)
	w.string(e.Message)
	return append(w.buf, '}')
}

func (c restJSON) fail(x *exchange, e *Error) {
	x.w.Header()["X-Amzn-Errortype"] = []string{e.Name}
	if s, v, ok := x.service.detail(e); ok {
		x.answerHeaders(s, v)
	}
	x.write(e.Status, c.media(), c.fault(x.service, e))
}

// receiveREST reads a request. document reads the body into a struct: that of
// the member that is the body, or of all that are in it, where there is none.
func (x *exchange) receiveREST(in reflect.Value, found *findings, document func(*field, *structure, reflect.Value, *seen) error) error {
	s := x.op.in
	var got seen
	if err := x.bind(in, &got); err != nil {
		return err
	}
	p := s.payload
	if p != nil && p.kind == kindReader {
		got.add(p)
		p.value(in).Set(reflect.ValueOf(x.r.Body))
	} else if err := x.readBody(); err != nil {
		return err
	} else if err := x.receiveBody(in, &got, found, document); err != nil {
		return err
	}
	found.missing(s, &got, nil)
	return nil
}

func (x *exchange) receiveBody(in reflect.Value, got *seen, found *findings, document func(*field, *structure, reflect.Value, *seen) error) error {
	p := x.op.in.payload
	if p == nil {
		return document(nil, x.op.in, in, got)
	}
	if len(x.body) == 0 {
		return nil
	}
	got.add(p)
	switch p.kind {
	case kindBlob:
		p.value(in).SetBytes(x.body)
	case kindString:
		p.value(in).SetString(string(x.body))
	case kindStruct:
		var inner seen
		if err := document(p, p.fields, p.value(in), &inner); err != nil {
			return err
		}
		found.missing(p.fields, &inner, &path{name: p.label})
	default:
		return problemf(malformed, "%s cannot be the body of a request", quoted(p.label))
	}
	return nil
}

// bind reads the members that are not in the body.
func (x *exchange) bind(in reflect.Value, got *seen) error {
	for i, f := range x.op.labels {
		got.add(f)
		if err := setText(&f.node, f.value(in), x.labels[i], f.label, isoTime); err != nil {
			return err
		}
	}
	if err := x.bindQuery(in, got); err != nil {
		return err
	}
	for _, f := range x.op.in.elsewhere {
		switch f.location {
		case inHeader:
			values := x.r.Header[f.header]
			if f.header == "Content-Length" && x.r.ContentLength >= 0 { // decoded, of a body that came in chunks
				values = []string{strconv.FormatInt(x.r.ContentLength, 10)}
			}
			if len(values) == 0 {
				continue
			}
			got.add(f)
			if err := x.bindHeader(f, f.value(in), values); err != nil {
				return err
			}
		case inHeaders:
			x.bindHeaders(f, in, got)
		}
	}
	return nil
}

func (x *exchange) bindHeader(f *field, v reflect.Value, values []string) error {
	if f.kind != kindList {
		if len(values) > 1 {
			return problemf(malformed, "the header %s is there %d times: it may be once", f.name, len(values))
		}
		return setText(&f.node, v, values[0], f.name, httpTime)
	}
	var items []string
	for _, value := range values {
		more, ok := splitHeader(value, f.elem.kind == kindTime && cmp.Or(f.elem.time, httpTime) == httpTime)
		if !ok {
			return problemf(malformed, "the header %s is %s, which is no list", f.name, quoted(value))
		}
		items = append(items, more...)
	}
	return setTexts(f, v, items, httpTime)
}

// splitHeader splits a list at its commas, of which a date has one itself. What
// has commas or quotes in it may stand in quotes.
func splitHeader(value string, dates bool) (items []string, ok bool) {
	for value = strings.TrimSpace(value); value != ""; {
		var item string
		if value[0] == '"' {
			end := 1
			for end < len(value) && value[end] != '"' {
				if value[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(value) {
				return nil, false
			}
			item = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(value[1:end])
			if value = strings.TrimSpace(value[end+1:]); value != "" && value[0] != ',' {
				return nil, false
			}
			value = strings.TrimPrefix(value, ",")
		} else {
			item, value, _ = strings.Cut(value, ",")
			if dates {
				var rest string
				rest, value, _ = strings.Cut(value, ",")
				item += "," + rest
			}
			item = strings.TrimSpace(item)
		}
		items = append(items, item)
		value = strings.TrimSpace(value)
	}
	return items, true
}

// setTexts sets a list by the texts of its members.
func setTexts(f *field, v reflect.Value, items []string, usualTime string) error {
	v.Set(reflect.MakeSlice(f.typ, len(items), len(items)))
	for i, item := range items {
		if err := setText(f.elem, v.Index(i), item, f.name, usualTime); err != nil {
			return err
		}
	}
	return nil
}

// bindHeaders reads the headers that have a prefix.
func (x *exchange) bindHeaders(f *field, in reflect.Value, got *seen) {
	values := map[string]string{}
	for name, value := range x.r.Header {
		if len(name) > len(f.name) && strings.EqualFold(name[:len(f.name)], f.name) {
			values[strings.ToLower(name[len(f.name):])] = strings.Join(value, ",")
		}
	}
	if len(values) > 0 {
		got.add(f)
		f.value(in).Set(reflect.ValueOf(values).Convert(f.typ))
	}
}

// bindQuery reads the parameters of the URL. One that the model does not have
// is refused by its name.
func (x *exchange) bindQuery(in reflect.Value, got *seen) error {
	if x.r.URL.RawQuery == "" {
		return nil
	}
	parameters, err := parseQuery(x.r.URL.RawQuery, url.PathUnescape, MaxParameters)
	if err != nil {
		return err
	}
	values := map[*field][]string{}
	rest := reflect.Value{} // a map for whoever wants all parameters
	if x.op.rest != nil && len(parameters) > 0 {
		got.add(x.op.rest)
		rest = x.op.rest.value(in)
		rest.Set(reflect.MakeMap(rest.Type()))
	}
	for _, p := range parameters {
		f := x.op.query[p.name]
		if f != nil {
			values[f] = append(values[f], p.value)
		}
		switch {
		case f == nil && x.op.ofRoute(p):
		case rest.IsValid():
			addTo(rest, p)
		case f == nil:
			return problemf(invalid, "the parameter %s is not known to Gust: leave it out", quoted(p.name))
		}
	}
	for f, texts := range values {
		got.add(f)
		if f.kind == kindList {
			err = setTexts(f, f.value(in), texts, isoTime)
		} else if len(texts) > 1 {
			err = problemf(invalid, "%s is there %d times: it may be once", f.name, len(texts))
		} else {
			err = setText(&f.node, f.value(in), texts[0], f.name, isoTime)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addTo adds a parameter to a map of texts, or of lists of them.
func addTo(m reflect.Value, p parameter) {
	key, value := reflect.ValueOf(p.name).Convert(m.Type().Key()), reflect.ValueOf(p.value)
	of := m.Type().Elem()
	if of.Kind() != reflect.Slice {
		m.SetMapIndex(key, value.Convert(of))
		return
	}
	list := m.MapIndex(key)
	if !list.IsValid() {
		list = reflect.MakeSlice(of, 0, 1)
	}
	m.SetMapIndex(key, reflect.Append(list, value.Convert(of.Elem())))
}

// ofRoute tells whether a parameter belongs to the operation's path, to a
// presigned URL, or is the operation's name, which some SDKs add.
func (op *operation) ofRoute(p parameter) bool {
	if strings.HasPrefix(p.name, "X-Amz-") || p.name == "x-id" && p.value == op.name {
		return true
	}
	_, query, _ := strings.Cut(op.Path, "?")
	for want := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(want, "="); name == p.name && name != "" {
			return true
		}
	}
	return false
}

// parseQuery reads parameters, up to a number of them. In a URL, where they are
// part of what is signed, a plus sign is one (url.PathUnescape), as signatures
// and AWS have it; in a form, which is signed by its bytes, it is a space
// (url.QueryUnescape).
func parseQuery(text string, unescape func(string) (string, error), limit int) ([]parameter, error) {
	if text == "" {
		return nil, nil
	}
	n := strings.Count(text, "&") + 1
	if n > limit {
		return nil, problemf(tooLarge, "the request has over %d parameters", MaxParameters)
	}
	parameters := make([]parameter, 0, n)
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		p := parameter{}
		var err error
		if p.name, err = unescape(name); err == nil {
			p.value, err = unescape(value)
		}
		if err != nil {
			return nil, problemf(malformed, "the parameter %s is wrong: %v", quoted(name), err)
		}
		parameters = append(parameters, p)
	}
	return parameters, nil
}

// answerREST writes an answer: its members in headers and the status, and the
// body, which document writes if it is not a member by itself.
func (x *exchange) answerREST(format eventFormat, out reflect.Value, document func(*field, *structure, reflect.Value) []byte) error {
	s := x.op.out
	x.answerHeaders(s, out)
	status := x.op.success()
	for _, f := range s.elsewhere {
		if given, ok := f.given(out); ok && f.location == inStatus {
			status = int(given.Int())
		}
	}
	media := x.w.Header().Get("Content-Type")
	p := s.payload
	if p == nil {
		if len(s.body) == 0 {
			x.write(status, "", nil)
			return nil
		}
		x.write(status, cmp.Or(media, format.media()), document(nil, s, out))
		return nil
	}
	given, ok := p.given(out)
	if !ok {
		x.write(status, "", nil)
		return nil
	}
	switch p.kind {
	case kindEvents:
		x.stream(format, p, out, nil)
		return nil
	case kindReader:
		return x.pour(status, given)
	case kindBlob:
		x.write(status, cmp.Or(media, "application/octet-stream"), given.Bytes())
	case kindString:
		x.write(status, cmp.Or(media, "text/plain"), []byte(given.String()))
	default:
		x.write(status, cmp.Or(media, format.media()), document(p, p.fields, given))
	}
	return nil
}

// answerHeaders writes the members that are headers.
func (x *exchange) answerHeaders(s *structure, v reflect.Value) {
	h := x.w.Header()
	for _, f := range s.elsewhere {
		given, ok := f.given(v)
		if !ok {
			continue
		}
		switch f.location {
		case inHeader:
			if text := textOf(&f.node, given); text != "" {
				h[f.header] = []string{text}
			}
		case inHeaders:
			for _, k := range given.MapKeys() {
				h[f.name+k.String()] = []string{given.MapIndex(k).String()} // SDKs give the rest of the name as it came
			}
		}
	}
}

// textOf is a value as it is in a header; a list's with commas.
func textOf(n *node, v reflect.Value) string {
	switch n.kind {
	case kindString:
		return v.String()
	case kindBool:
		return strconv.FormatBool(v.Bool())
	case kindInt:
		return strconv.FormatInt(v.Int(), 10)
	case kindFloat:
		return string(appendFloat(nil, v.Float(), n.typ.Bits()))
	case kindBlob:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	case kindTime:
		return string(appendTime(nil, cmp.Or(n.time, httpTime), v.Interface().(time.Time)))
	case kindList:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = textOf(n.elem, v.Index(i))
			if n.elem.kind == kindString && strings.ContainsAny(items[i], `,"`) {
				items[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(items[i]) + `"`
			}
		}
		return strings.Join(items, ", ")
	}
	return ""
}

// success is the status of an answer that does not say its own.
func (op *operation) success() int {
	if op.Status != 0 {
		return op.Status
	}
	return http.StatusOK
}

// bindTo finds the members of the labels and the query, once.
func (op *operation) bindTo() error {
	byLabel := map[string]*field{}
	op.query = map[string]*field{}
	for _, f := range op.in.elsewhere {
		switch {
		case f.location == inLabel:
			byLabel[f.name] = f
		case f.location == inQuery && f.kind == kindMap:
			op.rest = f
		case f.location == inQuery:
			op.query[f.name] = f
		}
	}
	for _, name := range op.labelNames() {
		f := byLabel[name]
		if f == nil {
			return problemf(internal, "its path has the label %s, which is no member; there are %v", name, slices.Sorted(maps.Keys(byLabel)))
		}
		op.labels = append(op.labels, f)
	}
	return nil
}
