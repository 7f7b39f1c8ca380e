package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/access/guard"
	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/store"
)

// door: what it costs to tell who asks and whether they may, for a signed
// request with a body of 1 KB, of a node with 1,000 principals who have 100
// statements each. The baseline is the cryptography that Signature Version 4
// cannot do without: the hashes of the body and of the canonical request, and
// the signature.
func door(r *run) (rows []row, err error) {
	principals, rounds := 1000, 20
	if r.short {
		principals, rounds = 50, 4
	}
	s, err := store.Open(store.Options{Dir: filepath.Join(r.dir, "door"), Durability: store.DurabilityInterval})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	d, err := newDoor(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	requests := make([]*signed, principals)
	for i := range requests {
		if requests[i], err = d.principal(i); err != nil {
			return nil, err
		}
	}
	for _, who := range []struct {
		name string
		of   int // how many ask in turn
	}{{"one caller", 1}, {"1,000 callers in turn", principals}} {
		var ours, theirs sample
		for range rounds {
			for i := range 1000 {
				q := requests[i%who.of]
				took, err := d.pass(q)
				if err != nil {
					return nil, err
				}
				ours.latency = append(ours.latency, took)
				theirs.latency = append(theirs.latency, q.hashes())
			}
		}
		ours.sum()
		theirs.sum()
		rows = append(rows, row{
			name: "signature (1 KB body) and policy, 1,000 principals of 100 statements, " + who.name + ", against the hashes alone",
			aim:  "8 us", gust: nanos(ours.p50), baseline: nanos(theirs.p50), p50: nanos(ours.p50), p99: nanos(ours.p99),
		}.against(float64(ours.p50)/float64(theirs.p50), ours.p50 <= 8*time.Microsecond))
	}
	return rows, nil
}

func nanos(d time.Duration) string { return fmt.Sprintf("%.1f us", float64(d.Nanoseconds())/1000) }

// entrance is a node's door without the rest of the node.
type entrance struct {
	now       time.Time
	directory *identity.Directory
	log       *audit.Log
	guard     *guard.Guard
}

func newDoor(s *store.Store) (*entrance, error) {
	e := &entrance{now: time.Now().UTC()}
	o := identity.Options{Place: gust.DefaultPlace, Root: &access.Key{ID: "AKIAROOTROOTROOTROOT", Secret: strings.Repeat("x", 40)}, Logger: slog.New(slog.DiscardHandler)}
	rand.Read(o.Seal[:]) // never fails
	var err error
	if e.log, err = audit.Open(context.Background(), s, audit.Options{}); err != nil {
		return nil, err
	}
	if e.directory, err = identity.Open(context.Background(), s, o); err != nil {
		return nil, errors.Join(err, e.log.Close())
	}
	// The clock stands, so that signatures do not age while others are measured.
	auth := access.New(e.directory, access.Options{Now: func() time.Time { return e.now }})
	e.guard = guard.New(auth, e.directory, e.log, nil)
	return e, nil
}

func (e *entrance) close() error { return errors.Join(e.directory.Close(), e.log.Close()) }

// signed is a request, and what is hashed for it.
type signed struct {
	*http.Request
	body, canonical, toSign, key []byte
	reader                       bytes.Reader
	need                         access.Need
}

var services = []string{"sqs:SendMessage", "sns:Publish", "s3:GetObject", "dynamodb:Query", "lambda:InvokeFunction",
	"events:PutEvents", "states:StartExecution", "logs:PutLogEvents", "kms:Decrypt", "secretsmanager:GetSecretValue"}

// principal makes the user of this number, with four policies of 25 statements,
// and a request of theirs that one of them allows.
func (e *entrance) principal(i int) (*signed, error) {
	ctx, name := context.Background(), fmt.Sprintf("user-%d", i)
	if _, err := e.directory.CreateUser(ctx, identity.NewEntity{Name: name}); err != nil {
		return nil, err
	}
	for j := range 4 {
		var list []string
		for k := range 25 {
			action := services[k%len(services)]
			service, _, _ := strings.Cut(action, ":")
			list = append(list, fmt.Sprintf(`{"Effect":"Allow","Action":[%q,"%s:Describe*"],"Resource":"arn:aws:%s:us-east-1:000000000000:%d-%d-%d*"}`, action, service, service, i, j, k))
		}
		p, err := e.directory.CreatePolicy(ctx, identity.NewPolicy{Name: fmt.Sprintf("p-%d-%d", i, j), Document: `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`})
		if err != nil {
			return nil, err
		}
		if err := e.directory.Attach(ctx, identity.User(name), p.ARN); err != nil {
			return nil, err
		}
	}
	key, secret, err := e.directory.CreateKey(ctx, name)
	if err != nil {
		return nil, err
	}
	q := &signed{body: bytes.Repeat([]byte("m"), gust.KB), need: access.Need{Action: "sqs:SendMessage", Resource: fmt.Sprintf("arn:aws:sqs:us-east-1:000000000000:%d-3-20/x", i)}}
	if q.Request, err = http.NewRequest("POST", "http://127.0.0.1:4566/", http.NoBody); err != nil {
		return nil, err
	}
	q.RequestURI, q.RemoteAddr, q.ContentLength = "/", "127.0.0.1:5", int64(len(q.body))
	q.sign(key.ID, secret, e.now)
	return q, nil
}

// sign signs as SDKs sign a call of SQS.
func (q *signed) sign(id, secret string, at time.Time) {
	stamp, day := at.Format("20060102T150405Z"), at.Format("20060102")
	q.Header.Set("X-Amz-Date", stamp)
	q.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
	q.Header.Set("Content-Type", "application/x-amz-json-1.0")
	q.Header.Set("User-Agent", "aws-sdk-go-v2/1.48.0 lang/go api/sqs")
	sum := sha256.Sum256(q.body)
	q.canonical = fmt.Appendf(nil, "POST\n/\n\ncontent-type:application/x-amz-json-1.0\nhost:%s\nx-amz-date:%s\nx-amz-target:AmazonSQS.SendMessage\n\ncontent-type;host;x-amz-date;x-amz-target\n%x",
		q.Host, stamp, sum)
	scope := day + "/us-east-1/sqs/aws4_request"
	q.key = []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		q.key = mac(q.key, []byte(part))
	}
	hashed := sha256.Sum256(q.canonical)
	q.toSign = fmt.Appendf(nil, "AWS4-HMAC-SHA256\n%s\n%s\n%x", stamp, scope, hashed)
	q.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=%x",
		id, scope, mac(q.key, q.toSign)))
}

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// pass lets a request through, and returns how long that took.
func (e *entrance) pass(q *signed) (time.Duration, error) {
	q.reader.Reset(q.body)
	q.Body = io.NopCloser(&q.reader)
	start := time.Now()
	c, err := e.guard.Admit(q.Request, "7f5a1e4c-0d9d-4f7e-9b43-4a5f6f0c8b11")
	if err == nil {
		err = c.Allow(context.Background(), q.need)
	}
	return time.Since(start), err
}

// hashes does what no implementation can leave out, and returns how long that
// took.
func (q *signed) hashes() time.Duration {
	start := time.Now()
	body, canonical := sha256.Sum256(q.body), sha256.Sum256(q.canonical)
	_ = hex.EncodeToString(body[:])
	_ = hex.EncodeToString(canonical[:])
	mac(q.key, q.toSign)
	return time.Since(start)
}
