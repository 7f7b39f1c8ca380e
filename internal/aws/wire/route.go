package wire

import (
	"cmp"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// carriesCredential tells whether somebody has signed a request, or tried to.
func carriesCredential(r *http.Request) bool {
	return len(r.Header["Authorization"]) > 0 || strings.Contains(r.URL.RawQuery, "X-Amz-Signature=") || strings.Contains(r.URL.RawQuery, "X-Amz-Algorithm=")
}

// scope is the service that a request's signature names, unproven; "" is one
// that names none. What it is in truth the guard tells later (serve).
func scope(r *http.Request) string {
	credential := ""
	if values := r.Header["Authorization"]; len(values) > 0 && values[0] != "" {
		_, credential, _ = strings.Cut(values[0], "Credential=")
	} else {
		for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
			if value, ok := strings.CutPrefix(pair, "X-Amz-Credential="); ok {
				credential, _ = url.PathUnescape(value)
				break
			}
		}
	}
	credential, _, _ = strings.Cut(credential, ",")
	parts := strings.Split(strings.TrimSpace(credential), "/")
	if len(parts) < 5 { // key, day, region, service, aws4_request; keys have no slash
		return ""
	}
	return parts[len(parts)-2]
}

// named finds a service by the name in signatures.
func (h *Handler) named(name string) *service {
	for _, s := range h.services {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Serves tells whether a request is signed for one of the services.
func (h *Handler) Serves(r *http.Request) bool {
	name := scope(r)
	return name != "" && h.named(name) != nil
}

// atHost finds the service of a host name: "iam.localhost", "sts.us-east-1....".
func (h *Handler) atHost(host string) *service {
	label, _, ok := strings.Cut(host, ".")
	if !ok {
		return nil
	}
	for _, s := range h.services {
		if s.Name == label || s.Endpoint == label || s.S3 && strings.Contains(host, ".s3.") {
			return s
		}
	}
	return nil
}

// nobody stands for a service where none is known, so that errors have a form.
var nobody = &service{Service: &Service{Model: &Model{Title: "AWS"}}, maxBody: DefaultMaxBody}

// inXML are services of AWS, by their names in signatures, whose protocol is
// REST-XML, and whether in the way of S3: whoever asks for one that is not here is
// told so in what their client can read.
var inXML = map[string]*service{"s3": nobodyOfS3, "s3express": nobodyOfS3, "s3-outposts": nobodyOfS3, "s3-object-lambda": nobodyOfS3, "cloudfront": nobody, "route53": nobody}

var nobodyOfS3 = &service{Service: &Service{Model: &Model{Title: "AWS", S3: true}}, maxBody: DefaultMaxBody}

// absent says that there is no such service, nor what was asked of it.
func (h *Handler) absent(kind fault, name, operation string) error {
	names := make([]string, len(h.services))
	for i, s := range h.services {
		names[i] = s.Name
	}
	slices.Sort(names)
	return problemf(kind, "Gust has no service %s in this version, and so no operation %s of it: those that it has are %s", clip(name), clip(operation), strings.Join(slices.Compact(names), ", "))
}

// tell finds out which protocol a request is in and, as far as its headers tell,
// which service it is for, as AWS does. It sets the protocol and the codec of x
// whatever it returns; an error is why the request has no answer, for who may
// know.
func (h *Handler) tell(x *exchange) error {
	r := x.r
	signed := scope(r)
	x.service = nobody
	if s := h.named(signed); s != nil {
		x.service = s
	} else if s := h.atHost(r.Host); s != nil && signed == "" {
		x.service = s
	}
	if of := inXML[signed]; of != nil && x.service == nobody {
		x.service = of
		x.speak(RESTXML)
		return h.absent(refused, signed, r.Method+" "+r.URL.EscapedPath())
	}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	target := r.Header.Get("X-Amz-Target")
	switch {
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		x.speak(CBOR)
		return h.tellCBOR(x, signed)
	case target != "" || mediaType == "application/x-amz-json-1.0" || mediaType == "application/x-amz-json-1.1":
		x.speak(JSON11)
		if mediaType == "application/x-amz-json-1.0" {
			x.speak(JSON10)
		}
		return h.tellTarget(x, signed, target, mediaType)
	case x.service != nobody:
		x.speak(x.service.own())
	case signed == "" && h.byPath(x):
	case mediaType == "application/x-www-form-urlencoded" || strings.Contains(r.URL.RawQuery, "Action="):
		x.speak(Query)
	default:
		x.speak(RESTJSON)
	}
	if x.protocol == Query && !isQuery(r, mediaType) {
		return problemf(malformed, "a request of the query protocol is a GET, or a POST of application/x-www-form-urlencoded, not a %s of %s", clip(r.Method), quoted(mediaType))
	}
	if signed != "" && x.service == nobody && x.protocol != Query { // whose operation is in the body
		return h.absent(unknown, signed, r.Method+" "+r.URL.EscapedPath())
	}
	return nil
}

// crooked tells whether a path has a segment that is ".", ".." or nothing, before
// its end. Signatures are made of paths without those, except S3's: whoever sees
// a signed request on its way could send it with a path that it is signed for as
// much, and that is another operation's.
func crooked(path string) bool {
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") && !strings.Contains(path, "%") {
		return false
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		s, err := url.PathUnescape(s)
		if err != nil || s == "." || s == ".." || s == "" && i < len(segments)-1 {
			return true
		}
	}
	return false
}

func isQuery(r *http.Request, mediaType string) bool {
	return r.Method == http.MethodGet && r.ContentLength <= 0 || r.Method == http.MethodPost && (mediaType == "application/x-www-form-urlencoded" || r.ContentLength == 0)
}

// own is the protocol that a service speaks where nothing else is asked for.
func (s *service) own() Protocol {
	for _, p := range []Protocol{Query, RESTJSON, RESTXML} {
		if slices.Contains(s.Protocols, p) {
			return p
		}
	}
	return s.Protocols[0]
}

func (s *service) speaks(p Protocol) bool { return slices.Contains(s.Protocols, p) }

func (s *service) rest() bool { return s.speaks(RESTJSON) || s.speaks(RESTXML) }

// target is the prefix of a service's operations in X-Amz-Target.
func (s *service) target() string { return cmp.Or(s.Target, s.Name) }

// tellTarget finds the operation in X-Amz-Target. Besides the services whose
// protocol it is, all but the REST ones answer to it.
func (h *Handler) tellTarget(x *exchange, signed, target, mediaType string) error {
	prefix, name, ok := strings.Cut(target, ".")
	if !ok || prefix == "" || name == "" || len(x.r.Header["X-Amz-Target"]) > 1 {
		return problemf(unknown, "X-Amz-Target is %s: it is one SERVICE.Operation", quoted(target))
	}
	if err := h.called(x, signed, prefix, name, "X-Amz-Target", target); err != nil {
		return err
	}
	if x.r.Method != http.MethodPost || x.r.URL.Path != "/" {
		return problemf(unknown, "an AWS JSON request is a POST to /, not a %s to %s", clip(x.r.Method), quoted(x.r.URL.Path))
	}
	if mediaType != "application/x-amz-json-1.0" && mediaType != "application/x-amz-json-1.1" {
		return problemf(malformed, "the Content-Type of a request with X-Amz-Target is application/x-amz-json-1.0 or -1.1, not %s", quoted(mediaType))
	}
	return x.operation(name)
}

// called finds the service whose operations are called by prefix in an RPC, and
// refuses what is signed for another; place is where the request asks for it, and
// asked in which words.
func (h *Handler) called(x *exchange, signed, prefix, name, place, asked string) error {
	i := slices.IndexFunc(h.services, func(s *service) bool { return s.target() == prefix && !s.rest() })
	if i < 0 {
		return h.absent(unknown, h.otherwise(signed, prefix), name)
	}
	x.service = h.services[i]
	if signed != "" && x.service.Name != signed {
		return problemf(unknown, "the request is signed for the service %s, and %s asks for %s", quoted(signed), place, quoted(asked))
	}
	return nil
}

// otherwise is the name of a service that is not here: the one in signatures, or
// what the request calls it.
func (h *Handler) otherwise(signed, prefix string) string {
	if signed == "" || h.named(signed) != nil {
		return prefix
	}
	return signed
}

// tellCBOR finds the operation in the path of an RPC v2 request.
func (h *Handler) tellCBOR(x *exchange, signed string) error {
	rest, ok := strings.CutPrefix(x.r.URL.EscapedPath(), "/service/")
	prefix, name, both := strings.Cut(rest, "/operation/")
	if !ok || !both || x.r.Method != http.MethodPost {
		return problemf(unknown, "an RPC v2 request is a POST to /service/SERVICE/operation/OPERATION, not a %s to %s", clip(x.r.Method), quoted(x.r.URL.Path))
	}
	if err := h.called(x, signed, prefix, name, "its path", prefix); err != nil {
		return err
	}
	return x.operation(name)
}

// byPath finds the REST service that has a request's path, for who has not
// signed it.
func (h *Handler) byPath(x *exchange) bool {
	for _, s := range h.services {
		if op, _ := s.match(x.r); op != nil {
			x.service = s
			x.speak(s.own())
			return true
		}
	}
	return false
}

// operation sets an operation by its name.
func (x *exchange) operation(name string) error {
	op := x.service.operations[name]
	if op == nil {
		return problemf(unknown, "the %s API has no operation %s", x.service.Title, quoted(name))
	}
	x.op = op
	return nil
}

// find finds the operation, where tell could not: in the parameters of a query,
// in the path of a REST request. It reads the body, but for REST.
func (x *exchange) find(h *Handler) error {
	switch {
	case x.op != nil:
		return nil
	case x.protocol == Query:
		return x.findAction(h)
	}
	op, labels := x.service.match(x.r)
	if op == nil {
		return problemf(unknown, "the %s API has no operation %s %s", x.service.Title, clip(x.r.Method), quoted(x.r.URL.EscapedPath()))
	}
	x.op, x.labels = op, labels
	return nil
}

// findAction finds the operation of a query: its Action, in the Version that is
// asked for.
func (x *exchange) findAction(h *Handler) error {
	if err := x.readForm(); err != nil {
		return err
	}
	action, version := "", ""
	kept := x.form[:0]
	for _, p := range x.form {
		switch {
		case p.name == "Action":
			action = p.value
		case p.name == "Version":
			version = p.value
		case strings.HasPrefix(p.name, "X-Amz-") || p.name == "AWSAccessKeyId": // of a presigned request
		default:
			kept = append(kept, p)
		}
	}
	x.form = kept
	if action == "" {
		return &Error{Name: "MissingAction", Message: "the request has no Action"}
	}
	if x.service == nobody {
		if signed := scope(x.r); signed != "" {
			return h.absent(unknown, signed, action)
		}
		for _, s := range h.services {
			if s.speaks(Query) && s.operations[action] != nil && (version == "" || version == s.Version) {
				x.service = s
				break
			}
		}
	}
	if op := x.service.operations[action]; op != nil && (version == "" || version == x.service.Version) {
		x.op = op
		return nil
	}
	return problemf(unknown, "Could not find operation %s for version %s", clip(action), clip(cmp.Or(version, "NO_VERSION_SPECIFIED")))
}

// route is a REST operation's method and path, cut for matching.
type route struct {
	op       *operation
	segments []string // "{Name}" is a label
	greedy   bool     // the last segment takes the rest
	query    string   // that has to be there
}

func newRoute(op *operation) route {
	path, query, _ := strings.Cut(op.Path, "?")
	r := route{op: op, query: query, segments: strings.Split(strings.Trim(path, "/"), "/")}
	last := r.segments[len(r.segments)-1]
	r.greedy = strings.HasSuffix(last, "+}")
	return r
}

// sortRoutes puts what is more exact first: paths with fewer labels, and with
// more that has to be there.
func sortRoutes(routes []route) {
	rank := func(r route) int {
		n := 2 * len(r.op.labelNames())
		if r.greedy {
			n++
		}
		return n
	}
	slices.SortStableFunc(routes, func(a, b route) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return cmp.Or(len(b.query)-len(a.query), len(b.op.Wants)-len(a.op.Wants))
	})
}

// labelNames are the labels of an operation's path, in order.
func (op *operation) labelNames() []string {
	var names []string
	for _, s := range strings.Split(op.Path, "/") {
		if strings.HasPrefix(s, "{") {
			name, _, _ := strings.Cut(s[1:], "}")
			names = append(names, strings.TrimSuffix(name, "+"))
		}
	}
	return names
}

// match finds the operation of a request's method and path, and the values of
// the path's labels.
func (s *service) match(r *http.Request) (*operation, []string) {
	path := r.URL.EscapedPath()
	if bucket := s.bucketOf(r.Host); bucket != "" {
		path = "/" + bucket + path
	}
	for i := range s.routes {
		route := &s.routes[i]
		if route.op.Method != r.Method {
			continue
		}
		labels, ok := route.labels(path)
		if ok && route.asked(r) {
			return route.op, labels
		}
	}
	return nil, nil
}

// asked tells whether a request has what the route wants, in its query and
// headers.
func (r *route) asked(q *http.Request) bool {
	if r.query == "" && r.op.Wants == nil {
		return true
	}
	given := strings.Split(q.URL.RawQuery, "&")
	for _, want := range r.op.Wants {
		parameter, ok := strings.CutPrefix(want, "?")
		if !ok && q.Header.Get(want) == "" || ok && !slices.ContainsFunc(given, func(g string) bool { return strings.HasPrefix(g, parameter+"=") }) {
			return false
		}
	}
	if r.query == "" {
		return true
	}
	for want := range strings.SplitSeq(r.query, "&") {
		if !slices.ContainsFunc(given, func(g string) bool { return g == want || g == want+"=" }) {
			return false
		}
	}
	return true
}

// labels matches a path, as it was sent.
func (r *route) labels(path string) (labels []string, ok bool) {
	path = strings.TrimPrefix(path, "/")
	if !r.greedy {
		path = strings.TrimSuffix(path, "/")
	}
	for i, want := range r.segments {
		got, rest, more := strings.Cut(path, "/")
		last := i == len(r.segments)-1
		if last && r.greedy {
			got, more = path, false
		}
		if more == last {
			return nil, false
		}
		path = rest
		if !strings.HasPrefix(want, "{") {
			if want != got {
				return nil, false
			}
			continue
		}
		label, err := url.PathUnescape(got)
		if err != nil || label == "" {
			return nil, false
		}
		labels = append(labels, label)
	}
	return labels, true
}
