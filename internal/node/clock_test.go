package node_test

import (
	"context"
	"encoding/xml"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gust-dev/gust/internal/access/audit"
	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/store"
)

// A node that stood still for hours judges by the clock on the wall from its first
// moment on, though the store does not believe that clock yet: what has just been
// issued is good, and what is recorded is dated as it happened.
func TestTheFirstMinuteAfterALongStop(t *testing.T) {
	h := newHouse(t)
	s, err := store.Open(store.Options{Dir: h.data, Now: func() time.Time { return time.Now().Add(-3 * time.Hour) }})
	if err == nil {
		err = s.Update(t.Context(), "p", func(tx *store.Tx) error { return tx.Set([]byte("k"), nil) })
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	n := h.start()
	h.deploy(insideManifest)
	c := n.credentials("f")
	req, err := http.NewRequest("GET", "http://"+n.api+"/v1/whoami", nil)
	if err == nil {
		req.Header.Set("Authorization", "Bearer "+c.AccessKeyID+"."+c.SecretAccessKey+"."+c.Token)
	}
	if r := n.do(req, err); r.status != http.StatusOK || !strings.Contains(r.body, "fn.f") {
		t.Errorf("a function's fresh session is answered with %d %s %v", r.status, r.body, r.err)
	}
	var report struct {
		Time time.Time `xml:"GetCredentialReportResult>GeneratedTime"`
	}
	n.iam("GenerateCredentialReport")
	if err := xml.Unmarshal([]byte(n.iam("GetCredentialReport").body), &report); err != nil || report.Time.Before(began.Add(-time.Second)) {
		t.Errorf("a report is dated %v, and it is %v: %v", report.Time, began, err)
	}
	page, err := n.client.Audit(context.Background(), api.AuditQuery{Since: "1h"})
	if err != nil || len(page.Records) == 0 {
		t.Fatalf("within the last hour nothing is recorded: %v", err)
	}
	for _, r := range page.Records {
		if r.Time.Before(began) || r.Believed.After(began.Add(-time.Hour)) || r.Kind == audit.KindEnd && r.Start.Before(began) {
			t.Errorf("%s is dated %v (%v by the store), and began at %v; the node started at %v", r.Action, r.Time, r.Believed, r.Start, began)
		}
	}
}
