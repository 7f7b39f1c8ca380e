package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/inside"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/aws"
	"github.com/gust-dev/gust/internal/gateway"
)

// serve opens both doors, and from its first step on drain closes what there is.
func (n *Node) serve(users, apis net.Listener) (err error) {
	place := n.place()
	n.users = gateway.NewServer(
		gateway.New(gateway.Options{Catalog: n.catalog, Invoker: n.invoker, Place: place, Access: n.hooks.Access, Logger: n.logger}), n.logger)
	// A client that takes nothing of an answer is told from one that does by what
	// its connection takes, which HTTP/2 hides behind windows of its own; nor could
	// what streams pause there, as a deadline ends a stream that has nothing to say.
	one := new(http.Protocols)
	one.SetHTTP1(true)
	n.apis = &http.Server{
		Protocols:         one,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 * gust.KB,
		ErrorLog:          serverLog(n.logger),
	}
	n.onClose(n.drain)
	n.wg.Go(n.sweep)
	if n.api, err = n.apiHandler(place); err != nil {
		return err
	}
	close(n.serving)
	n.apis.Handler = access.NewBodies(bodiesMemory()).Handler(n.api)
	apisDoor := newDoor(apis, descriptors()/apisShare, stalled)
	if n.certificate != nil {
		n.apis.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.certificate.get}
		n.following.Go(n.followCertificate)
	}
	for _, s := range []struct {
		server *http.Server
		ln     net.Listener
	}{{n.users, newDoor(users, descriptors()/usersShare, 0)}, {n.apis, apisDoor}} {
		n.wg.Go(func() {
			serve := s.server.Serve
			if s.server.TLSConfig != nil {
				serve = func(ln net.Listener) error { return s.server.ServeTLS(ln, "", "") }
			}
			if err := serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
				n.fail(fmt.Errorf("serve %s: %w", s.ln.Addr(), err))
			}
		})
	}
	return nil
}

// newInside is what answers within environments, with what the API port answers.
// Some are started before that is there, and wait for it.
func (n *Node) newInside() *inside.Server {
	return inside.New(inside.Options{
		API: access.NewBodies(bodiesMemory()).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-n.serving:
				n.api.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})),
		Session: func(function, environment string, ttl time.Duration) (inside.Credentials, error) {
			s, err := n.identity.FunctionSession(function, environment, ttl)
			if err != nil {
				return inside.Credentials{}, err
			}
			return inside.Credentials{KeyID: s.KeyID, Secret: s.Secret, Token: s.Token, RoleARN: n.place().FunctionRoleARN(function), Expires: s.Expires}, nil
		},
		Good: func(c inside.Credentials) bool {
			_, err := n.identity.Lookup(c.KeyID, c.Token)
			return err == nil
		},
		Refused: func(environment string) {
			n.audit.Refuse(netip.Addr{}, environment, string(access.Invalid))
		},
		Shared: cmp.Or(descriptors()/insideShare, 1024),
		Now:    time.Now,
		Logger: n.logger,
	})
}

// lastWords is how long those whose invocation was cut off may take to hear of
// it.
const lastWords = 500 * time.Millisecond

// drain takes nothing new at either door, lets what runs finish within
// Config.Drain, and cuts off the rest, which the error tells. The API's door
// stays open meanwhile: /healthz and /readyz are asked by new connections, and
// invocations are refused by the invoker.
func (n *Node) drain() error {
	limit := time.Now().Add(n.config.Drain)
	over := fmt.Errorf("still running after the drain limit of %v", n.config.Drain)
	ctx, cancel := context.WithDeadlineCause(context.Background(), limit, over)
	defer cancel()
	serving, cut := context.WithCancel(context.Background())
	defer cut()
	servers := [...]interface {
		Shutdown(context.Context) error
		Close() error
	}{n.users, n.apis, n.inside}
	var errs [len(servers)]error
	var wg sync.WaitGroup
	shut := func(i int) { wg.Go(func() { errs[i] = servers[i].Shutdown(serving) }) }
	shut(0)
	err := n.invoker.Close(ctx)
	shut(1) // until here it told whoever asked that the node drains
	shut(2) // and answered what still ran
	late := time.AfterFunc(max(time.Until(limit), lastWords), cut)
	defer late.Stop()
	wg.Wait()
	for i, s := range servers {
		if errs[i] != nil && err == nil { // else the invoker tells
			err = fmt.Errorf("requests were cut off: %w", over)
		}
		err = errors.Join(err, s.Close())
	}
	n.following.Wait()
	n.wg.Wait() // before what they use is closed
	return err
}

// apiHandler is the API port: health for everybody, all else for who may.
func (n *Node) apiHandler(place gust.Place) (http.Handler, error) {
	apis, err := aws.New(aws.Options{
		Catalog: n.catalog, Invoker: n.invoker, Directory: n.identity, Guard: n.guard, Place: place,
		Since: n.key.Created, Now: time.Now, Logger: n.logger,
	})
	if err != nil {
		return nil, err
	}
	mine := http.NewServeMux()
	mine.Handle("/v1/", api.New(api.Options{
		Catalog: n.catalog, Runtimes: n.runtimes, Store: n.store, Recorder: n.recorder, Audit: n.audit, Directory: n.identity, Place: place,
		Environments: n.invoker.Environments, Warm: n.invoker.Warm, Replace: n.invoker.Replace, Status: n.status, Forget: n.identity.Sweep, Build: n.build,
		Draining: n.follow, Logger: n.logger,
	}))
	mine.Handle("/metrics", api.Behind("gust:GetMetrics", guard.Data, n.recorder.Metrics()))
	profiles := http.NewServeMux()
	profiles.HandleFunc("/debug/pprof/", pprof.Index)
	profiles.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
	profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mine.Handle("/debug/pprof/", api.Behind("gust:Profile", guard.Read, profiles))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if n.draining.Load() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
		}
	})
	guarded := n.guard.Require(refuse, mine)
	for _, path := range []string{"/v1/", "/metrics", "/debug/pprof/"} {
		mux.Handle(path, guarded)
	}
	// What is signed for an AWS service is for that, whatever its path, which is
	// left as it was sent.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern == "" || apis.Serves(r) {
			apis.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Amzn-Requestid", uuid.NewString()) // the API puts its own in its place
		mux.ServeHTTP(w, r)
	}), nil
}

// bodiesMemory is what the bodies of requests may take together that come to the
// API port, and those that come from within environments apart from them: enough
// for the largest that there are, and no more than many of those.
func bodiesMemory() int64 { return min(max(machineMemory()/32, 64*gust.MB), 512*gust.MB) }

// refuse says nothing to who has no credential. Who has proven to hold one is
// told what else was wrong: a clock, a region, a body.
func refuse(w http.ResponseWriter, _ *http.Request, err error) {
	var e *access.Error
	switch {
	case errors.Is(err, gust.ErrTooLarge):
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	case errors.Is(err, gust.ErrBusy):
		w.Header().Set("Retry-After", strconv.Itoa(int(access.BusyRetry.Seconds())))
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case errors.Is(err, access.ErrSlow):
		http.Error(w, err.Error(), http.StatusRequestTimeout)
	case !errors.As(err, &e): // the client broke off
		http.Error(w, err.Error(), http.StatusBadRequest)
	case slices.Contains([]access.Code{access.Expired, access.Skewed, access.Scope, access.BodyMismatch, access.BadChunks, access.BadChecksum, access.Unsupported}, e.Code):
		http.Error(w, e.Public(), http.StatusUnauthorized)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (n *Node) status() api.Status {
	s := api.Status{
		State: "ready", Started: n.started, Data: n.config.Data, HTTP: n.usersAddr, API: n.apisAddr,
		Region: n.config.Region, Account: n.config.Account, Durability: n.config.Durability, Sandbox: n.backend.Name(),
	}
	if n.draining.Load() {
		s.State = "draining"
	}
	s.Warnings = append(s.Warnings, n.backendWarnings...)
	if s.Durability == "interval" {
		s.Warnings = append(s.Warnings, "writes are acknowledged before they are synced (--durability interval): a crash may lose the last 100 ms")
	}
	if n.certificate != nil {
		if w := n.certificate.warning(); w != "" {
			s.Warnings = append(s.Warnings, w)
		}
	}
	if free, reserve := n.store.Free(); free < reserve {
		s.Warnings = append(s.Warnings, "the disk is full: writes are refused")
	}
	if n.audit.Early() {
		s.Warnings = append(s.Warnings, fmt.Sprintf("records of the audit log were removed before they were %s old, because it is over its size: raise --audit-size (%s)",
			n.config.AuditAge, n.config.AuditSize))
	}
	return s
}
