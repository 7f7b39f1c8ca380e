package api

import (
	"cmp"
	"net/http"
	"runtime"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/invoke"
)

// Build says what a binary is.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// BuildOf completes a version and a commit by what the running binary knows of
// itself.
func BuildOf(version, commit string) Build {
	return Build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

// Status is how a node is.
type Status struct {
	// State is "ready", or "draining" while the node stops.
	State   string    `json:"state"`
	Started time.Time `json:"started"`
	Build   Build     `json:"build"`

	// Data is the data folder; HTTP and API are the addresses the node
	// listens on.
	Data string `json:"data"`
	HTTP string `json:"http"`
	API  string `json:"api"`

	Region     string `json:"region"`
	Account    string `json:"account"`
	Durability string `json:"durability"`
	// Sandbox is what functions run in: "process", or "none" for no
	// isolation.
	Sandbox string `json:"sandbox"`
	// Runtimes are the interpreters that the node has by now, by name.
	Runtimes []string `json:"runtimes"`

	// Revision counts the changes of what is declared.
	Revision     uint64 `json:"revision"`
	Apps         int    `json:"apps"`
	Functions    int    `json:"functions"`
	Environments int    `json:"environments"`
	// Running counts invocations.
	Running int `json:"running"`
	// DiskFree is how many bytes the data folder's disk has left; below
	// DiskReserve writes are refused.
	DiskFree    int64 `json:"disk_free"`
	DiskReserve int64 `json:"disk_reserve"`

	// Warnings are for people: what is not as it should be.
	Warnings []string `json:"warnings"`
}

func (s *server) version(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, s.Build)
}

// Identity is who a key belongs to.
type Identity struct {
	// Kind is "root", "user", "role" or "anonymous".
	Kind    access.Kind `json:"kind"`
	ARN     string      `json:"arn"`
	Account string      `json:"account"`
	// Region is the node's.
	Region string `json:"region"`
	// ID is the unique one: the account's of root, else "AIDA..." or
	// "AROA...:SESSION".
	ID    string `json:"id"`
	KeyID string `json:"key_id"`
	// Expires is when a session ends.
	Expires        time.Time `json:"expires,omitzero"`
	SourceIdentity string    `json:"source_identity,omitempty"`
}

func (s *server) whoami(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	c := q.call.Caller
	p := c.Principal
	return reply(http.StatusOK, Identity{Kind: p.Kind, ARN: p.ARN, Account: p.Account, Region: s.Place.Region, ID: p.ID,
		KeyID: c.KeyID, Expires: c.Expires, SourceIdentity: p.SourceIdentity})
}

func (s *server) status(q *request) (answer, error) {
	if _, err := parameters(q); err != nil {
		return answer{}, err
	}
	if err := q.allow(everything); err != nil {
		return answer{}, err
	}
	status := s.Options.Status()
	status.Build = s.Build
	snapshot := s.Catalog.Snapshot()
	status.Revision, status.Apps, status.Functions = snapshot.Revision, len(snapshot.Apps), len(snapshot.Functions)
	for _, e := range s.Environments() {
		status.Environments++
		status.Running += e.Running
	}
	status.Runtimes = orEmpty(s.Runtimes.Names())
	status.DiskFree, status.DiskReserve = s.Store.Free()
	if status.Warnings == nil {
		status.Warnings = []string{}
	}
	return reply(http.StatusOK, status)
}

func (s *server) environments(q *request) (answer, error) {
	p, err := parameters(q, "app", "function")
	if err != nil {
		return answer{}, err
	}
	list := []invoke.Environment{}
	for _, e := range s.Environments() {
		if matches(p["app"], e.App) && matches(p["function"], e.Function) && q.may(s.Place.FunctionARN(e.Function)) {
			list = append(list, e)
		}
	}
	if err := q.listed(len(list), s.Place.FunctionARN(cmp.Or(p["function"], "*")), named("app", p["app"])...); err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, struct {
		Environments []invoke.Environment `json:"environments"`
	}{list})
}

// matches reports whether a filter, empty for none, lets value through.
func matches(filter, value string) bool { return filter == "" || filter == value }
