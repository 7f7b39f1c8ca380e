package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/api"
)

// TestAuditLogOfAKilledNode kills a node again and again while it is told to
// change things. Afterwards the audit log is whole, has each call that was
// answered with its result, and those that were under way as cut off, one for
// each client at most.
func TestAuditLogOfAKilledNode(t *testing.T) {
	const clients = 4
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	h := newHouse(t)
	var mu sync.Mutex
	answered := map[string]int{} // statuses by request id
	head, cutOff := "", 0
	for round := range rounds {
		n := h.start()
		var left atomic.Int64
		left.Store(10 + rand.Int64N(60))
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				app := fmt.Sprint("app", c)
				for i := 0; ; i++ {
					method, body := "PUT", fmt.Sprintf(`{"app":{"name":%q}}`, app)
					if i%2 == 1 {
						method, body = "DELETE", ""
					}
					req, err := http.NewRequest(method, "http://"+n.api+"/v1/apps/"+app, strings.NewReader(body))
					if err == nil {
						req.Header.Set("Authorization", "Bearer "+n.key.Token())
					}
					r := n.do(req, err)
					if r.err != nil {
						return // it was killed
					}
					mu.Lock()
					answered[r.header.Get(api.HeaderRequestID)] = r.status
					mu.Unlock()
					if left.Add(-1) == 0 {
						_ = n.cmd.Process.Kill()
					}
				}
			})
		}
		wg.Wait()
		n.kill()

		n = h.start()
		sum, err := n.client.VerifyAudit(context.Background(), head)
		if err != nil || len(sum.Problems) > 0 {
			t.Fatalf("round %d: %+v, %v", round, sum, err)
		}
		head = sum.Head
		found := map[string]audit.Result{}
		cut := 0
		q := api.AuditQuery{Limit: api.MaxAuditRecords}
		for more := true; more; {
			page, err := n.client.Audit(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				if r.Result == audit.CutOff {
					cut++
				}
				if was, twice := found[r.RequestID]; twice && r.RequestID != "" {
					t.Errorf("round %d: call %s is there twice: %s, %s", round, r.RequestID, was, r.Result)
				}
				found[r.RequestID] = r.Result
			}
			q.After, more = page.Next, page.More
		}
		for id, status := range answered {
			want := audit.OK
			if status >= 400 {
				want = audit.Failed
			}
			if found[id] != want {
				t.Errorf("round %d: a call that was answered with %d is %q in the audit log", round, status, found[id])
			}
		}
		if cut > cutOff+clients {
			t.Errorf("round %d: %d calls are cut off", round, cut-cutOff)
		}
		cutOff = cut
		n.stop()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d calls were answered, %d cut off", len(answered), cutOff)
}
