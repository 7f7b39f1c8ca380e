package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

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
	// Next is the parameter after of the next page. There may be nothing there
	// yet.
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
	return reply(http.StatusOK, page)
}

func auditFilter(q *request, now time.Time) (f audit.Filter, limit int, err error) {
	p, err := parameters(q, "since", "after", "principal", "action", "result", "limit")
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
	limit = DefaultAuditRecords
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
	pairs := []string{"since", a.Since, "principal", a.Principal, "action", a.Action, "result", string(a.Result)}
	if a.After > 0 {
		pairs = append(pairs, "after", strconv.FormatUint(a.After, 10))
	}
	if a.Limit > 0 {
		pairs = append(pairs, "limit", strconv.Itoa(a.Limit))
	}
	return ask[AuditPage](ctx, c, "GET", "/v1/audit"+query(pairs...), nil)
}

// VerifyAudit has the node walk its audit log, and says what it found. head,
// unless it is empty, is that of an earlier Summary.
func (c *Client) VerifyAudit(ctx context.Context, head string) (*audit.Summary, error) {
	return ask[audit.Summary](ctx, c, "GET", "/v1/audit/verify"+query("head", head), nil)
}
