package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// fill records, a second apart: two invocations of shop's api around one of
// shop's worker and one of blog's posts.
func fill(r *Recorder, c *clock) {
	run := func(f *gust.Function, request string) {
		s := r.Stream(f, env1)
		s.Begin(request, trace1, c.now())
		s.Line([]byte(f.Name))
		s.End(reportOf(request, trace1))
		c.advance(time.Second)
	}
	posts := testFunction("posts")
	posts.App = "blog"
	run(testFunction("api"), request1)
	run(testFunction("worker"), "8f507cfc-cccc-4697-b07a-ac58fc914c95")
	run(posts, "8f507cfc-dddd-4697-b07a-ac58fc914c95")
	run(testFunction("api"), request2)
}

func TestQuery(t *testing.T) {
	r, c := newRecorder(t, Options{})
	fill(r, c)
	block := func(name, request string) []string {
		return []string{"start " + request, "line " + request + " " + name, "end " + request, "report " + request}
	}
	first, worker, posts, second := block("api", "aaaa"), block("worker", "cccc"), block("posts", "dddd"), block("api", "bbbb")
	tests := []struct {
		name string
		q    Query
		want []string
	}{
		{"everything", Query{}, slices.Concat(first, worker, posts, second)},
		{"a function", Query{Function: "api"}, slices.Concat(first, second)},
		{"an app", Query{App: "shop"}, slices.Concat(first, worker, second)},
		{"a request", Query{RequestID: request1}, first},
		{"a request of a function", Query{RequestID: request1, Function: "api", App: "shop"}, first},
		{"a request of another function", Query{RequestID: request1, Function: "worker"}, nil},
		{"a function of another app", Query{Function: "api", App: "blog"}, nil},
		{"no such function", Query{Function: "ap"}, nil},
		{"no such request", Query{RequestID: "x"}, nil},
		{"since", Query{Since: testTime.Add(2 * time.Second)}, slices.Concat(posts, second)},
		{"since in the future", Query{Since: testTime.Add(time.Hour)}, nil},
		{"a function since", Query{Function: "api", Since: testTime.Add(time.Second)}, second},
		{"the newest", Query{Limit: 1}, second[3:]},
		{"the newest few", Query{Limit: 5}, slices.Concat(posts[3:], second)},
		{"the newest, in the middle of an end and its report", Query{Limit: 9}, slices.Concat(worker[3:], posts, second)},
		{"the newest of a function", Query{Function: "api", Limit: 4}, second},
		{"more than there are", Query{Function: "api", Limit: 1000}, slices.Concat(first, second)},
		{"the newest of none", Query{Function: "none", Limit: 5}, nil},
		{"the newest since", Query{Since: testTime.Add(2 * time.Second), Limit: 6}, slices.Concat(posts[2:], second)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := shown(query(t, r, tt.q)); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%q\nwant\n%q", got, tt.want)
			}
		})
	}
}

func TestNewestOfMany(t *testing.T) {
	r, _ := newRecorder(t, Options{})
	s := r.Stream(testFunction("api"), env1)
	for i := range 5000 {
		s.Line(fmt.Append(nil, i))
	}
	for _, limit := range []int{1, 7, 1500, 4999, 5000} {
		got := query(t, r, Query{Limit: limit})
		if len(got) != limit || got[0].Message != fmt.Sprint(5000-limit) || got[limit-1].Message != "4999" {
			t.Errorf("limit %d gives %d records from %v on", limit, len(got), got[0].Message)
		}
	}
}

func TestFollow(t *testing.T) {
	for name, q := range map[string]Query{"all": {Follow: true, Function: "api"}, "the newest": {Follow: true, Function: "api", Limit: 1}} {
		t.Run(name, func(t *testing.T) {
			r, _ := newRecorder(t, Options{})
			s, other := r.Stream(testFunction("api"), env1), r.Stream(testFunction("other"), "2")
			s.Line([]byte("0"))
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			stop := errors.New("enough")
			want, more := 0, 100
			for record, err := range r.Query(ctx, q) {
				if err != nil {
					if want != more || !errors.Is(err, stop) {
						t.Fatalf("after %d records: %v", want, err)
					}
					break
				}
				if record.Message != fmt.Sprint(want) {
					t.Fatalf("got %q; want %d", record.Message, want)
				}
				if want++; want == more {
					cancel(stop)
					continue
				}
				other.Line([]byte("not asked for"))
				s.Line(fmt.Append(nil, want))
			}
			if want != more {
				t.Errorf("it ended after %d records", want)
			}
		})
	}
}

// A follower that asks for the newest of nothing gets what comes.
func TestFollowFromTheEnd(t *testing.T) {
	r, c := newRecorder(t, Options{})
	fill(r, c)
	go r.Stream(testFunction("new"), env1).Line([]byte("first"))
	for record, err := range r.Query(t.Context(), Query{Function: "new", Limit: 10, Follow: true}) {
		if err != nil || record.Message != "first" {
			t.Errorf("got %+v, %v", record, err)
		}
		break
	}
}

func BenchmarkQuery(b *testing.B) {
	free := Limit{Bytes: gust.GB, Lines: 1e9, Burst: 24 * time.Hour}
	r, _ := newRecorder(b, Options{NodeLimit: free, FunctionLimit: free, EnvironmentLimit: free})
	const records = 100_000
	for i := range 10 {
		s := r.Stream(testFunction(fmt.Sprint("function-", i)), env1)
		for range records / 10 {
			s.Line([]byte("GET /orders/1234 took 12 ms"))
		}
		if err := r.log.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]Query{"all": {}, "a tenth": {Function: "function-3"}, "a request": {RequestID: request1}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range r.Query(b.Context(), q) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
		})
	}
}
