package api

import (
	"context"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
)

// Records of the audit log in one answer.
const (
	DefaultAuditRecords = 1000
	MaxAuditRecords     = 10_000
)

// AuditPage is a part of the audit log, oldest first.
type AuditPage struct {
	Records []*audit.Record `json:"records"`
	// Next is the parameter after of the next page: the number of the last
	// record that was looked at. There may be nothing there yet.
	Next uint64 `json:"next"`
	// More tells that the log goes on behind this page.
	More bool `json:"more"`
}

func (s *server) audit(q *request) (answer, error) {
	if err := q.allow(everything); err != nil {
		return answer{}, err
	}
	f, limit, err := auditFilter(q, time.Now())
	if err != nil {
		return answer{}, err
	}
	if f.Follow {
		return answer{stream: func(w http.ResponseWriter) error {
			stream(s, w, q.Context(), true, func(ctx context.Context) iter.Seq2[*audit.Record, error] {
				return q.permitted(ctx, s.Audit.Read(ctx, f))
			})
			return nil
		}}, nil
	}
	last, err := s.Audit.Last()
	if err != nil {
		return answer{}, err
	}
	page := AuditPage{Records: []*audit.Record{}, Next: f.After}
	for r, err := range s.Audit.Read(q.Context(), f) {
		if err != nil {
			return answer{}, err
		}
		if len(page.Records) == limit {
			page.More = true
			break
		}
		page.Records = append(page.Records, r)
		page.Next = r.Seq
	}
	if !page.More { // what does not fit was looked at, too
		page.Next = max(page.Next, last)
	}
	return reply(http.StatusOK, page)
}

// permitted gives records for as long as the caller may read them: somebody who
// follows for days may lose the right meanwhile.
func (q *request) permitted(ctx context.Context, records iter.Seq2[*audit.Record, error]) iter.Seq2[*audit.Record, error] {
	return func(yield func(*audit.Record, error) bool) {
		for r, err := range records {
			if denied := q.call.Allow(ctx, access.Need{Action: q.route.action, Resource: everything}); denied != nil {
				yield(nil, denied)
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func auditFilter(q *request, now time.Time) (f audit.Filter, limit int, err error) {
	p, err := parameters(q, "since", "after", "principal", "action", "result", "limit", "follow")
	if err != nil {
		return f, 0, err
	}
	f.Principal, f.Action = p["principal"], p["action"]
	if since, ok := p["since"]; ok {
		if f.Since, err = ParseSince(since, now); err != nil {
			return f, 0, badRequest("the parameter since: %v", err)
		}
	}
	if after, ok := p["after"]; ok {
		if f.After, err = strconv.ParseUint(after, 10, 63); err != nil {
			return f, 0, badRequest("the parameter after is %q; want the number of a record", after)
		}
	}
	if result, ok := p["result"]; ok {
		if f.Result, err = audit.ParseResult(result); err != nil {
			return f, 0, badRequest("the parameter result: %v", err)
		}
	}
	if follow, ok := p["follow"]; ok {
		if f.Follow, err = strconv.ParseBool(follow); err != nil {
			return f, 0, badRequest("the parameter follow is %q; want true or false", follow)
		}
	}
	limit = DefaultAuditRecords
	if _, ok := p["limit"]; ok && f.Follow {
		return f, 0, badRequest("the parameter limit is of a page, and with follow there is none: leave one of them out")
	}
	if text, ok := p["limit"]; ok {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > MaxAuditRecords {
			return f, 0, badRequest("the parameter limit is %q; want a number from 1 to %d", text, MaxAuditRecords)
		}
	}
	return f, limit, nil
}

func (s *server) verifyAudit(q *request) (answer, error) {
	if err := q.allow(everything); err != nil {
		return answer{}, err
	}
	p, err := parameters(q, "head")
	if err != nil {
		return answer{}, err
	}
	summary, err := s.Audit.Verify(q.Context(), p["head"])
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, summary)
}

// AuditQuery says which records of the audit log are wanted; what is empty does
// not restrict.
type AuditQuery struct {
	Since             string // a time (RFC 3339), or how long ago ("5m")
	After             uint64
	Principal, Action string // * stands for any text, ? for one character
	Result            audit.Result
	Limit             int
}

// Audit gives a page of the audit log.
func (c *Client) Audit(ctx context.Context, a AuditQuery) (*AuditPage, error) {
	return ask[AuditPage](ctx, c, "GET", "/v1/audit"+a.query(false), nil)
}

// AuditRecords gives all of the audit log that fits, oldest first; if it is
// followed it goes on with what comes, for as long as ctx and until the node
// stops. An error ends it. The query's Limit is not for it.
func (c *Client) AuditRecords(ctx context.Context, a AuditQuery, follow bool) iter.Seq2[*audit.Record, error] {
	if follow {
		return read[audit.Record](ctx, c, "/v1/audit"+a.query(true), "the audit log")
	}
	return func(yield func(*audit.Record, error) bool) {
		a.Limit = MaxAuditRecords
		for more := true; more; {
			page, err := c.Audit(ctx, a)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, r := range page.Records {
				if !yield(r, nil) {
					return
				}
			}
			a.After, more = page.Next, page.More
		}
	}
}

func (a *AuditQuery) query(follow bool) string {
	pairs := []string{"since", a.Since, "principal", a.Principal, "action", a.Action, "result", string(a.Result)}
	if a.After > 0 {
		pairs = append(pairs, "after", strconv.FormatUint(a.After, 10))
	}
	if a.Limit > 0 {
		pairs = append(pairs, "limit", strconv.Itoa(a.Limit))
	}
	if follow {
		pairs = append(pairs, "follow", "true")
	}
	return query(pairs...)
}

// VerifyAudit has the node walk its audit log, and says what it found. head,
// unless it is empty, is that of an earlier Summary.
func (c *Client) VerifyAudit(ctx context.Context, head string) (*audit.Summary, error) {
	return ask[audit.Summary](ctx, c, "GET", "/v1/audit/verify"+query("head", head), nil)
}
