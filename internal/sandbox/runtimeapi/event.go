package runtimeapi

import (
	"net"
	"strconv"
	"sync"
)

// maxCopied is up to what size an event is copied behind its head, to leave in
// one write; above, writev takes it from where it is.
const maxCopied = 16 << 10

var eventBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, maxCopied+4<<10)
	return &b
}}

// writeEvent answers the next that this connection waits in.
func (c *conn) writeEvent(cl *call) error {
	inv := cl.inv
	buf := eventBuffers.Get().(*[]byte)
	b := append((*buf)[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: "...)
	b = appendValue(b, inv.RequestID)
	b = append(b, "\r\nLambda-Runtime-Deadline-Ms: "...)
	b = strconv.AppendInt(b, inv.Deadline.UnixMilli(), 10)
	b = append(b, "\r\nLambda-Runtime-Invocation-Id: "...)
	b = append(b, cl.id[:]...)
	b = appendHeader(b, "\r\nLambda-Runtime-Invoked-Function-Arn: ", inv.ARN)
	b = appendHeader(b, "\r\nLambda-Runtime-Trace-Id: ", inv.TraceID)
	b = appendHeader(b, "\r\nLambda-Runtime-Client-Context: ", inv.ClientContext)
	b = appendHeader(b, "\r\nLambda-Runtime-Cognito-Identity: ", inv.CognitoIdentity)
	if c.closing {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(inv.Payload)), 10)
	b = append(b, "\r\n\r\n"...)

	var err error
	if len(inv.Payload) <= maxCopied {
		b = append(b, inv.Payload...)
		_, err = c.nc.Write(b)
	} else {
		both := net.Buffers{b, inv.Payload}
		_, err = both.WriteTo(c.nc)
	}
	*buf = b
	if cap(b) <= maxCopied+8<<10 {
		eventBuffers.Put(buf)
	}
	return err
}

func appendHeader(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendValue(append(b, name...), value)
}

// appendValue appends a header's value. What would end the header becomes a
// space: values come from users' requests, and in those that are JSON control
// characters only stand where any white space may.
func appendValue(b []byte, value string) []byte {
	at := len(b)
	b = append(b, value...)
	for i := at; i < len(b); i++ {
		if b[i] < ' ' || b[i] == 0x7f {
			b[i] = ' '
		}
	}
	return b
}
