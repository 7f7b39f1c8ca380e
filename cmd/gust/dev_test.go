package main

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/manifest"
)

// said is what a program has printed, and how much of it was waited for.
type said struct {
	mu    sync.Mutex
	text  bytes.Buffer
	after int
	more  chan struct{} // gets a value when something was added
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

// await waits for a line that matches, behind those waited for before.
func (s *said) await(ts *testscript.TestScript, pattern string) []string {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	for late := time.After(deadline); ; {
		s.mu.Lock()
		rest := s.text.Bytes()[s.after:]
		if m := re.FindSubmatchIndex(rest); m != nil {
			var groups []string
			for i := 0; i < len(m); i += 2 {
				groups = append(groups, string(rest[m[i]:m[i+1]]))
			}
			s.after += m[1]
			s.mu.Unlock()
			return groups
		}
		s.mu.Unlock()
		select {
		case <-s.more:
		case <-late:
			ts.Fatalf("gust dev did not print %q, but\n%s", pattern, s.text.String())
		}
	}
}

func cmdDev(ts *testscript.TestScript, neg bool, args []string) {
	p := ts.Value(processesKey{}).(*processes)
	switch {
	case !neg && len(args) > 0 && args[0] == "start":
		p.said = &said{more: make(chan struct{}, 1)}
		cmd := subprocess(ts, append([]string{"gust", "dev"}, args[1:]...))
		cmd.Stdout, cmd.Stderr = p.said, p.said
		var err error
		p.dev, err = startProcess(cmd)
		ts.Check(err)
		ts.Setenv("HTTP", p.said.await(ts, `^  HTTP     http://(\S+)$`)[1])
		ts.Setenv("GUST_DATA", p.said.await(ts, `gust env --data (\S+)\)"$`)[1])
		if slices.Contains(args, "--debug") {
			ts.Setenv("DEBUGGER", p.said.await(ts, `^  debug    \S+ at (\S+)$`)[1])
		}
		p.said.await(ts, `deployed in \d+ ms`)
	case !neg && len(args) == 2 && args[0] == "says":
		p.said.await(ts, args[1])
	case !neg && len(args) == 1 && args[0] == "stop":
		ts.Check(p.dev.cmd.Process.Signal(syscall.SIGINT))
		if status := p.dev.status(ts); status != 0 {
			ts.Fatalf("gust dev ended with status %d:\n%s", status, p.said.text.String())
		}
		ts.Check(os.WriteFile(ts.MkAbs("dev.out"), p.said.text.Bytes(), 0o644))
	default:
		ts.Fatalf("usage: dev start|says|stop")
	}
}

func TestAffected(t *testing.T) {
	m := &manifest.Manifest{
		App: &gust.App{Functions: map[string]*gust.Function{
			"api":   {Name: "api", Runtime: gust.RuntimeGo},
			"jobs":  {Name: "jobs", Runtime: gust.RuntimeGo},
			"page":  {Name: "page", Runtime: gust.RuntimeNode},
			"mail":  {Name: "mail", Runtime: gust.RuntimeNode},
			"site":  {Name: "site", Runtime: gust.RuntimeHTTP, Command: []string{"python3", "site.py"}},
			"train": {Name: "train", Runtime: gust.RuntimePython},
		}},
		Sources: map[string]manifest.Source{
			"api": {Path: "./api"}, "jobs": {Path: "jobs/"}, "page": {Path: "web/page"}, "mail": {Path: "web/mail"}, "train": {Path: "train"}, "site": {Path: "site"},
		},
	}
	all := m.App.FunctionNames()
	for file, want := range map[string][]string{
		"api/main.go":           {"api"},
		"api/page.html":         {"api"},
		"api/internal/db.go":    {"api", "jobs"}, // which may import it
		"apis/main.go":          all,
		"web/page/index.js":     {"mail", "page"},
		"train/app.py":          {"train"},
		"shared/money/money.go": all,
		"go.mod":                all,
		".":                     all,
	} {
		if got := affected(m, []string{file}); !slices.Equal(got, want) {
			t.Errorf("%s has to do with %q, want %q", file, got, want)
		}
	}
	if got, want := affected(m, []string{"train/app.py", "api/main.go"}), []string{"api", "train"}; !slices.Equal(got, want) {
		t.Errorf("two files have to do with %q, want %q", got, want)
	}
}

func TestDebuggersAreStartedAroundPrograms(t *testing.T) {
	for _, c := range []struct {
		change        func([]string, []string, int) ([]string, []string)
		command, want []string
	}{
		{inspect(false), []string{"/usr/bin/node", "--max-old-space-size=80", "/x/bootstrap.cjs"},
			[]string{"/usr/bin/node", "--inspect=127.0.0.1:9", "--max-old-space-size=80", "/x/bootstrap.cjs"}},
		{inspect(true), []string{"/opt/wrapper", "/usr/bin/node", "/x/bootstrap.cjs"},
			[]string{"/opt/wrapper", "/usr/bin/node", "--inspect-brk=127.0.0.1:9", "/x/bootstrap.cjs"}},
		{listen(false), []string{"/usr/bin/python3.11", "-u", "/x/bootstrap.py"},
			[]string{"/usr/bin/python3.11", "-u", "-Xfrozen_modules=off", "-m", "debugpy", "--listen", "127.0.0.1:9", "/x/bootstrap.py"}},
		{listen(true), []string{"python3", "-m", "uvicorn", "app:app"},
			[]string{"python3", "-Xfrozen_modules=off", "-m", "debugpy", "--listen", "127.0.0.1:9", "--wait-for-client", "-m", "uvicorn", "app:app"}},
	} {
		before := slices.Clone(c.command)
		if got, _ := c.change(c.command, nil, 9); !slices.Equal(got, c.want) || !slices.Equal(c.command, before) {
			t.Errorf("%q became %q, want %q", before, got, c.want)
		}
	}
}
