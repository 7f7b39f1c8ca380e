package access

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"
)

type environmentKey struct{}

// WithEnvironment says of connections that they come through the own listener
// of the environment with this id: a server's ConnContext sets it.
func WithEnvironment(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, environmentKey{}, id)
}

// newCaller is what the connection tells of who asks.
func newCaller(r *http.Request, now time.Time) *Caller {
	c := &Caller{UserAgent: r.UserAgent(), At: now}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.Source = peer.Addr().Unmap()
	}
	c.Environment, _ = r.Context().Value(environmentKey{}).(string)
	c.Secure = r.TLS != nil || c.Environment != ""
	return c
}

// Anonymous is who sends a request that needs no credential.
func (a *Authenticator) Anonymous(r *http.Request) *Caller {
	c := newCaller(r, a.now())
	c.Credential = &Credential{Principal: &Principal{Kind: KindAnonymous, Name: "anonymous", ID: "anonymous"}}
	return c
}

// unalterable tells whether nobody between the sender and this process can look
// into the request or change it. Of a proxy on this machine it is the proxy that
// is the sender, so this is not what Caller.Secure says.
func unalterable(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok && local != nil {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}
