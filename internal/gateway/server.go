package gateway

import (
	"log/slog"
	"net/http"
	"time"

	gust "github.com/gust-dev/gust"
)

// Limits on connections, whatever is asked on them.
const (
	// readHeaderTimeout is how long a request's line and headers may take.
	readHeaderTimeout = 10 * time.Second
	// idleTimeout is how long a connection may wait for its next request;
	// longer than the minute after which proxies in front give up theirs.
	idleTimeout = 75 * time.Second
	// maxHeaderBytes bounds a request's line and headers; above: 431.
	maxHeaderBytes = 64 << 10
	// writeTimeout bounds everything after the headers, longer than any
	// function may take.
	writeTimeout = gust.MaxTimeout + gust.MaxQueueWait + gust.InitTimeout + 2*writeStall
)

// NewServer is an HTTP/1.1 server for users' traffic with the limits that keep
// slow and greedy clients from harming others. Serve and Shutdown are the
// caller's.
func NewServer(h http.Handler, l *slog.Logger) *http.Server {
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            readHeaderTimeout,
		IdleTimeout:                  idleTimeout,
		WriteTimeout:                 writeTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is refused as every target that is no path
		ErrorLog:                     slog.NewLogLogger(l.Handler(), slog.LevelDebug),
	}
}
