package wire

import (
	"cmp"
	"net/http"
	"reflect"
	"strings"
)

// restXML is REST-XML: members in the path, the query, headers and the body.
type restXML struct{}

const mediaXML = "application/xml"

func (restXML) decode(x *exchange, in reflect.Value, found *findings) error {
	return x.receiveREST(in, found, func(p *field, s *structure, v reflect.Value, got *seen) error {
		if len(x.body) == 0 {
			return nil
		}
		var at *path
		if p != nil {
			at = &path{name: p.label}
		}
		return decodeXML(x.body, s.root(p), s, v, got, at, found)
	})
}

func (c restXML) encode(x *exchange, out reflect.Value) error {
	return x.answerREST(c, out, func(p *field, s *structure, v reflect.Value) []byte {
		declared := s.declared(x.service.Namespace)
		if p != nil && p.space != "" {
			declared = declare(p.prefix, p.space)
		}
		return documentXML(cmp.Or(s.root(p), x.op.name+"Response"), declared, s, v)
	})
}

// root is the name of a document's outermost element: of the member p, if it is
// one that is the body, or else of the type.
func (s *structure) root(p *field) string {
	if p != nil && p.root != "" {
		return p.root
	}
	return cmp.Or(s.name, s.shape)
}

// declared declares the namespace of a document: the type's, if it has one without
// a prefix, or usual. One with a prefix is for attributes.
func (s *structure) declared(usual string) string {
	if s.prefix == "" {
		usual = cmp.Or(s.space, usual)
	}
	return declare("", usual)
}

const declaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func documentXML(root, declared string, s *structure, v reflect.Value) []byte {
	w := &xmlWriter{buf: []byte(declaration)}
	w.open(root + declared + s.attributes(v))
	w.members(s, v)
	w.close(root)
	return w.buf
}

func (restXML) media() string { return mediaXML }

func (restXML) document(s *structure, v reflect.Value) []byte {
	return documentXML(cmp.Or(s.root(nil), "Event"), s.declared(""), s, v)
}

func (restXML) fault(of *service, e *Error) []byte {
	var w xmlWriter
	w.fault(of, e)
	w.close("Error")
	return w.buf
}

// fault writes an error up to its end, before which more may stand.
func (w *xmlWriter) fault(of *service, e *Error) {
	w.open("Error")
	if !of.S3 {
		w.text("Type", e.fault())
	}
	w.text("Code", e.Code)
	w.text("Message", e.Message)
	if s, v, ok := of.detail(e); ok {
		w.members(s, v)
	}
}

// fail writes an error's document. That of S3 has no element around it, and says
// which resource it is about.
func (restXML) fail(x *exchange, e *Error) {
	if s, v, ok := x.service.detail(e); ok {
		x.answerHeaders(s, v)
	}
	if x.r.Method == http.MethodHead || e.Status == http.StatusNotModified {
		x.w.WriteHeader(e.Status) // what has no body has no length of one
		return
	}
	w := xmlWriter{buf: []byte(declaration)}
	if x.service.S3 {
		w.fault(x.service, e)
		w.text("Resource", x.resource())
		w.text("RequestId", x.id)
		w.text("HostId", x.id)
		w.close("Error")
	} else {
		w.open("ErrorResponse" + declare("", x.service.Namespace))
		w.fault(x.service, e)
		w.close("Error")
		w.text("RequestId", x.id)
		w.close("ErrorResponse")
	}
	x.write(e.Status, mediaXML, w.buf)
}

// resource is the path of a request as it would be without a bucket in the host.
func (x *exchange) resource() string {
	if bucket := x.service.bucketOf(x.r.Host); bucket != "" {
		return "/" + bucket + x.r.URL.Path
	}
	return x.r.URL.Path
}

// bucketOf is the bucket in the name of S3's host: "photos.s3.localhost",
// "photos.s3.eu-west-1.example.com", and "photos.localhost", as SDKs make it of an
// endpoint that is http://localhost.
func (s *service) bucketOf(host string) string {
	if !s.S3 {
		return ""
	}
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		host = host[:at]
	}
	if at := strings.LastIndex(host, ".s3."); at >= 0 {
		return host[:at]
	}
	bucket, ok := strings.CutSuffix(host, ".localhost")
	if !ok || bucket == "s3" || strings.HasPrefix(bucket, "s3.") {
		return ""
	}
	return bucket
}
