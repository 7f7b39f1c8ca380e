package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// show is the demo's steps, and what they found out for the figures.
type show struct {
	node *node
	app  string
	took map[string]time.Duration // what was measured from outside, by what it was
	warm map[string][]time.Duration
}

func (s *show) deploy(ctx context.Context) error {
	if _, err := s.node.gust(ctx, 2, "plan", s.app); err != nil { // 2: it would change something
		return err
	}
	_, err := s.node.gust(ctx, 0, "deploy", s.app)
	return err
}

func (s *show) commandLine(ctx context.Context) error {
	for range 2 {
		out, err := s.node.gust(ctx, 0, "invoke", "hello", "-d", `{"name": "Ada"}`)
		if err != nil {
			return err
		}
		if !strings.Contains(out, "Hello, Ada!") {
			return fmt.Errorf("the function hello answered %q", out)
		}
	}
	for range 2 {
		out, err := s.node.gust(ctx, 0, "invoke", "web", "--path", "/web/")
		if err != nil {
			return err
		}
		if !strings.Contains(out, "Hello from a web server") {
			return fmt.Errorf("the function web answered %q", out)
		}
	}
	_, err := s.node.gust(ctx, 0, "invoke", "hello", "--tail")
	return err
}

func (s *show) again(ctx context.Context) error {
	for _, args := range [][]string{{"deploy", s.app}, {"rm", "hello"}, {"deploy", s.app}} {
		if _, err := s.node.gust(ctx, 0, args...); err != nil {
			return err
		}
	}
	return nil
}

func (s *show) overHTTP(ctx context.Context) error {
	const requests = 500
	s.warm = make(map[string][]time.Duration)
	for _, f := range []struct{ name, path, want string }{
		{"hello", "/hello/Ada", "Hello, Ada!"},
		{"web", "/web/", "Hello from a web server"},
	} {
		var cold time.Duration
		var first string
		warm := make([]time.Duration, 0, requests)
		for i := range requests + 1 {
			status, body, took, err := s.get(ctx, f.path)
			if err != nil {
				return err
			}
			if status != http.StatusOK || !strings.Contains(body, f.want) {
				return fmt.Errorf("GET %s answered %d %q", f.path, status, body)
			}
			if i == 0 {
				cold, first = took, body
			} else {
				warm = append(warm, took)
			}
		}
		s.warm[f.name] = warm
		fmt.Printf("GET %-12s %s\n", f.path, strings.TrimSpace(first))
		fmt.Printf("    cold %s, then %d warm: p50 %s, p99 %s\n\n", ms(cold), requests, ms(percentile(warm, 50)), ms(percentile(warm, 99)))
		s.took["cold "+f.name] = cold
	}
	return nil
}

// burst sends so many requests at once that each needs an environment of its
// own.
func (s *show) burst(ctx context.Context) error {
	const requests = 50
	took := make([]time.Duration, requests)
	errs := make([]error, requests)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range requests {
		wg.Go(func() {
			status, body, t, err := s.get(ctx, "/hello/burst?do=sleep&for=500ms")
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("request %d was answered %d %s", i, status, body)
			}
			took[i], errs[i] = t, err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Printf("GET /hello/burst?do=sleep&for=500ms, %d times at once\n", requests)
	fmt.Printf("    all answered in %s, of which each slept 500 ms: p50 %s, p99 %s\n", ms(time.Since(start)), ms(percentile(took, 50)), ms(percentile(took, 99)))
	return nil
}

func (s *show) failures(ctx context.Context) error {
	for _, f := range []struct {
		do   string
		want int
	}{{"crash", 502}, {"exit", 502}, {"error", 502}, {"sleep&for=1m", 504}} {
		path := "/hello/Ada?do=" + f.do
		status, body, took, err := s.get(ctx, path)
		if err != nil {
			return err
		}
		fmt.Printf("GET %-28s %d %s (%s)\n", path, status, strings.TrimSpace(body), ms(took))
		if status != f.want {
			return fmt.Errorf("GET %s answered %d, not %d", path, status, f.want)
		}
		status, body, took, err = s.get(ctx, "/hello/Ada")
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("after it, GET /hello/Ada answered %d %s", status, body)
		}
		fmt.Printf("    and the next one: %d %s (%s)\n", status, strings.TrimSpace(body), ms(took))
	}
	fmt.Println()
	_, err := s.node.gust(ctx, 1, "invoke", "hello", "-d", `{"do": "error"}`)
	return err
}

func (s *show) list(ctx context.Context) error {
	_, err := s.node.gust(ctx, 0, "ls")
	return err
}

func (s *show) stop(context.Context) error {
	fmt.Println("$ kill -TERM", s.node.cmd.Process.Pid)
	return s.node.stop()
}

// get asks the app, and measures how long the whole answer took.
func (s *show) get(ctx context.Context, path string) (status int, body string, took time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.node.http+path, nil)
	if err != nil {
		return 0, "", 0, err
	}
	start := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), time.Since(start), err
}
