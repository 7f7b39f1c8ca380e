package audit

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
)

// Record is one entry of the log. Whoever writes one fills in what happened;
// Seq, Kind, Time, Began and Start are the log's.
type Record struct {
	// Seq counts records from 1; none is left out.
	Seq  uint64 `json:"seq"`
	Kind Kind   `json:"kind"`
	// Time is when it was written, by the machine's clock.
	Time time.Time `json:"time"`
	// Believed is what the store took the time for, where its clock rule did
	// not believe the machine's. By it the record grows old.
	Believed time.Time `json:"believed,omitzero"`
	// Newest is the latest Time of all records before it, where its own is
	// earlier because the machine's clock went back.
	Newest time.Time `json:"newest,omitzero"`
	// Began is the record with which a call began that ended in this one.
	Began uint64 `json:"began,omitempty"`
	// Start is when what the record tells of began, if that was earlier.
	Start time.Time `json:"start,omitzero"`

	// Principal is who: an ARN.
	Principal string `json:"principal,omitempty"`
	KeyID     string `json:"key_id,omitempty"`
	// Session is the name of an assumed role's session.
	Session        string `json:"session,omitempty"`
	SourceIdentity string `json:"source_identity,omitempty"`

	// Action is what: "iam:CreateUser".
	Action    string   `json:"action,omitempty"`
	Resources []string `json:"resources,omitempty"`
	// Parameters name things of the call. No secret is ever among them.
	Parameters map[string]string `json:"parameters,omitempty"`

	// Source is from where: an address; of those without a valid credential,
	// an IPv6 network of 64 bits.
	Source string `json:"source,omitempty"`
	// Environment is the one that the call came out of.
	Environment string `json:"environment,omitempty"`
	UserAgent   string `json:"user_agent,omitempty"`
	RequestID   string `json:"request_id,omitempty"`

	Result Result `json:"result,omitempty"`
	// Code is the error's; Reason is why a call was denied.
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Count is of how many calls a record of KindCount tells.
	Count uint64 `json:"count,omitempty"`
}

// newest is the latest Time of the records up to and with r, which never goes back.
func (r *Record) newest() time.Time {
	if r.Newest.IsZero() {
		return r.Time
	}
	return r.Newest
}

// Kind is what a record is for.
type Kind string

const (
	// KindBegin: a call that may change something is about to run. Read tells
	// of it only while it runs.
	KindBegin Kind = "begin"
	// KindEnd: such a call has ended.
	KindEnd Kind = "end"
	// KindCall: a call that was denied, or that changes nothing, in one record.
	KindCall Kind = "call"
	// KindCount: calls that were counted.
	KindCount Kind = "count"
	// KindTrim: the log's oldest records were removed, up to and with the one
	// that the parameter "through" names; "early" is there, with how many, if some
	// were not too old yet.
	KindTrim Kind = "trim"
)

// Result is what came of a call.
type Result string

const (
	OK     Result = "ok"
	Failed Result = "error"
	Denied Result = "denied"
	// CutOff: the node ended before the call did. Whether it was carried out
	// nobody has noted.
	CutOff Result = "cut_off"
	// Running: the call has not ended yet.
	Running Result = "running"
	// Refused: it had no valid credential.
	Refused Result = "refused"
)

// results are all that a record can have.
var results = []Result{OK, Failed, Denied, CutOff, Running, Refused}

// ParseResult reads a result's name.
func ParseResult(s string) (Result, error) {
	names := make([]string, len(results))
	for i, r := range results {
		if string(r) == s {
			return r, nil
		}
		names[i] = string(r)
	}
	return "", invalid("the result %q is unknown; want one of %s", gust.Clip(s, 80), strings.Join(names, ", "))
}

// What a record holds at most. What is longer is cut, and says so by its end.
const (
	maxName       = 2 * gust.KB // of a principal, a resource
	maxText       = 256         // of everything else
	maxReason     = gust.KB
	maxResources  = 20
	maxParameters = 20
)

// bounded is r with everything cut to what a record may hold, so that nobody
// fills the disk by one request.
func (r Record) bounded() *Record {
	r.Principal = gust.Clip(r.Principal, maxName)
	r.Reason = gust.Clip(r.Reason, maxReason)
	for _, p := range []*string{&r.KeyID, &r.Session, &r.SourceIdentity, &r.Action, &r.Source, &r.Environment, &r.UserAgent, &r.RequestID, &r.Code} {
		*p = gust.Clip(*p, maxText)
	}
	if more := len(r.Resources) - maxResources; more > 0 {
		r.Resources = append(append([]string{}, r.Resources[:maxResources]...), "and "+strconv.Itoa(more)+" more")
	}
	for i, s := range r.Resources {
		if len(s) > maxName {
			r.Resources = append([]string{}, r.Resources...)
			r.Resources[i] = gust.Clip(s, maxName)
		}
	}
	r.Parameters = clipped(r.Parameters)
	return &r
}

// clipped are parameters, cut to what a record may hold.
func clipped(all map[string]string) map[string]string {
	if len(all) == 0 {
		return nil
	}
	p := make(map[string]string, min(len(all), maxParameters))
	for _, name := range slices.Sorted(maps.Keys(all))[:min(len(all), maxParameters)] {
		p[gust.Clip(name, maxText)] = gust.Clip(all[name], maxText)
	}
	return p
}
