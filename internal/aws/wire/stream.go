package wire

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"time"
)

// pour answers with a body as it comes, flushed piece by piece, and closes what
// it comes from.
func (x *exchange) pour(status int, v reflect.Value) error {
	body := v.Interface().(io.Reader)
	if c, ok := body.(io.Closer); ok {
		defer c.Close() //nolint:errcheck // it is read to its end, or given up
	}
	h := x.w.Header()
	if h.Get("Content-Type") == "" {
		h["Content-Type"] = []string{"application/octet-stream"}
	}
	x.w.WriteHeader(status)
	control := http.NewResponseController(x.w)
	defer control.SetWriteDeadline(time.Time{}) //nolint:errcheck // the connection may have further requests
	piece := make([]byte, 64<<10)
	for {
		n, err := body.Read(piece)
		if n > 0 {
			control.SetWriteDeadline(time.Now().Add(writeStall)) //nolint:errcheck // then without
			if _, err := x.w.Write(piece[:n]); err != nil {
				return nil // whoever asked has gone
			}
			if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return nil
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			x.handler.logger.Error("an answer of an AWS API broke off", "service", x.service.Name, "operation", x.op.name, "request_id", x.id, "error", err)
			panic(http.ErrAbortHandler)
		}
	}
}

// writeStall is how long a client may take no byte of an answer before it is
// given up.
const writeStall = time.Minute
