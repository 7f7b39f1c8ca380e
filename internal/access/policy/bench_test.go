package policy_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/gust-dev/gust/internal/access/policy"
)

// hundred is 100 statements in documents of ten: for a function of its own each,
// as a directory would have it, the last with a condition.
func hundred(t testing.TB, seed int) []policy.Attached {
	var all []policy.Attached
	for i := range 10 {
		var statements []any
		for j := range 10 {
			statements = append(statements, map[string]any{
				"Effect": "Allow", "Action": []string{"lambda:InvokeFunction", "lambda:GetFunction", "sqs:Send*"},
				"Resource": []string{fmt.Sprintf("arn:aws:lambda:us-east-1:111122223333:function:f%d-%d-%d", seed, i, j),
					fmt.Sprintf("arn:aws:lambda:us-east-1:111122223333:function:f%d-%d-%d:*", seed, i, j)},
				"Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": "true"}},
			})
		}
		all = append(all, policy.Attached{Name: fmt.Sprintf("p%d", i),
			Document: parse(t, policy.Identity, map[string]any{"Version": "2012-10-17", "Statement": statements})})
	}
	return all
}

func benchmarkDecide(b *testing.B, l policy.Layers, action, resource string, want bool) {
	r := policy.Compile(l)
	secure := []string{"true"}
	req := &policy.Request{Action: action, Resource: resource, Subject: subjects["alice"], Value: func(key string) []string {
		if key == "aws:securetransport" {
			return secure
		}
		return nil
	}}
	b.ReportAllocs()
	for b.Loop() {
		if d := r.Decide(req, nil); d.Allowed != want {
			b.Fatal(d)
		}
	}
}

// BenchmarkDecide: one request of somebody with 100 statements.
func BenchmarkDecide(b *testing.B) {
	l := policy.Layers{Identity: hundred(b, 0)}
	b.Run("first", func(b *testing.B) {
		benchmarkDecide(b, l, "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:111122223333:function:f0-0-0", true)
	})
	b.Run("last", func(b *testing.B) {
		benchmarkDecide(b, l, "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:111122223333:function:f0-9-9", true)
	})
	b.Run("none", func(b *testing.B) {
		benchmarkDecide(b, l, "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:111122223333:function:other", false)
	})
	b.Run("other service", func(b *testing.B) {
		benchmarkDecide(b, l, "s3:GetObject", "arn:aws:s3:::b/k", false)
	})
	// Each request of somebody else, so that little of what is touched is in the
	// processor's caches.
	b.Run("of many principals", func(b *testing.B) {
		many := make([]*policy.Rights, 200)
		for i := range many {
			many[i] = policy.Compile(policy.Layers{Identity: hundred(b, i)})
		}
		secure := []string{"true"}
		req := &policy.Request{Action: "lambda:InvokeFunction", Subject: subjects["alice"], Value: func(string) []string { return secure }}
		resources := make([]string, len(many))
		for i := range many {
			resources[i] = fmt.Sprintf("arn:aws:lambda:us-east-1:111122223333:function:f%d-5-5", i)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			req.Resource = resources[i%len(many)]
			if d := many[i%len(many)].Decide(req, nil); !d.Allowed {
				b.Fatal(d)
			}
		}
	})
	admin := policy.Layers{Identity: []policy.Attached{{Name: "admin", Document: parse(b, policy.Identity, map[string]any{
		"Statement": map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"}})}}}
	b.Run("admin", func(b *testing.B) {
		benchmarkDecide(b, admin, "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:111122223333:function:f", true)
	})
}

// TestDecideAllocatesNothing holds the usual cases to it.
func TestDecideAllocatesNothing(t *testing.T) {
	r := policy.Compile(policy.Layers{Identity: hundred(t, 0)})
	req := &policy.Request{Action: "lambda:InvokeFunction", Resource: "arn:aws:lambda:us-east-1:111122223333:function:f0-9-9", Subject: subjects["alice"],
		Value: func(string) []string { return nil }}
	if n := testing.AllocsPerRun(100, func() { r.Decide(req, nil) }); n != 0 {
		t.Errorf("a decision allocates %v times", n)
	}
}

// TestMemory: 1,000 principals with 100 statements of their own each. Those with
// documents in common share them, and have an index of their own.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads 10,000 documents")
	}
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	all := make([]*policy.Rights, 100)
	for i := range all {
		all[i] = policy.Compile(policy.Layers{Identity: hundred(t, i)})
	}
	own := float64(used()-before) / float64(len(all))
	shared := hundred(t, 1000)
	before = used()
	common := make([]*policy.Rights, 1000)
	for i := range common {
		common[i] = policy.Compile(policy.Layers{Identity: shared})
	}
	each := float64(used()-before) / float64(len(common))
	t.Logf("%.0f KB for 100 statements of one's own, %.2f KB for those that are shared", own/1024, each/1024)
	if own > 300<<10 || each > 20<<10 {
		t.Errorf("%.0f KB for 100 statements, %.2f KB for those that are shared", own/1024, each/1024)
	}
	runtime.KeepAlive(all)
	runtime.KeepAlive(common)
}
