package client_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// ahead boots an interpreter for a function that is not known yet, and returns
// the node's end of its descriptor 3.
func ahead(t *testing.T, l language, handler string) (*program, *os.File) {
	t.Helper()
	p, cmd := prepare(t, l, handler, 1)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GUST_BOOT=3", "BEFORE=1", "TZ=UTC", "AWS_LAMBDA_RUNTIME_API=" + p.env["AWS_LAMBDA_RUNTIME_API"]}
	// Nothing of the function is there yet.
	if err := os.Rename(p.task, p.task+".late"); err != nil {
		t.Fatal(err)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	t.Cleanup(func() { ours.Close() })
	cmd.ExtraFiles = []*os.File{theirs}
	p.run(cmd)
	theirs.Close()
	var one [1]byte
	if n, err := ours.Read(one[:]); n != 1 || err != nil || one[0] != '1' {
		t.Fatalf("%q, %v", one[:n], err)
	}
	return p, ours
}

// bind makes it the function's.
func (p *program) bind(ours *os.File, env ...string) {
	p.t.Helper()
	if err := os.Rename(p.task+".late", p.task); err != nil {
		p.t.Fatal(err)
	}
	p.environ(env)
	doc, err := json.Marshal(map[string]any{"env": p.env})
	if err != nil {
		p.t.Fatal(err)
	}
	// Not closed, so that the program's end can be seen to be.
	if _, err := ours.Write(doc); err != nil {
		p.t.Fatal(err)
	}
	if err := syscall.Shutdown(int(ours.Fd()), syscall.SHUT_WR); err != nil {
		p.t.Fatal(err)
	}
}

func TestBootedAhead(t *testing.T) {
	for _, test := range []struct {
		language
		handler string
	}{{node, "index.handler"}, {python, "app.handler"}} {
		t.Run(test.program, func(t *testing.T) {
			p, ours := ahead(t, test.language, test.handler)
			select {
			case <-p.Ready():
				t.Fatal("it asks for events before it is bound")
			default:
			}
			p.bind(ours, "TZ=Asia/Tokyo", "LATE=ü")
			got, fe := p.invoke(`{"do":"clock"}`)
			if fe != nil {
				t.Fatal(fe)
			}
			want := []any{9.0, "Asia/Tokyo", nil}
			var is []any
			if err := json.Unmarshal([]byte(got), &is); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(is[:3]) != fmt.Sprint(want) {
				t.Errorf("%v, want %v", is[:3], want)
			}
			names := strings.Fields(strings.Trim(fmt.Sprint(is[3]), "[]"))
			for name := range p.env {
				if !slices.Contains(names, name) {
					t.Errorf("%s is missing", name)
				}
			}
			if slices.Contains(names, "BEFORE") || slices.Contains(names, "GUST_BOOT") {
				t.Errorf("what was before is still there: %v", names)
			}
			if n, err := ours.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the descriptor is still open, or it wrote to it: %d, %v", n, err)
			}
			got, fe = p.invoke(`{"do":"context"}`)
			if fe != nil || !strings.Contains(got, fmt.Sprintf(`"cwd":%q`, p.task)) && !strings.Contains(got, fmt.Sprintf(`"cwd": %q`, p.task)) {
				t.Errorf("%v, %s", fe, got)
			}
			select {
			case line := <-p.lines:
				t.Errorf("it printed %q", line)
			default:
			}
		})
	}
}

// Modules are looked for where the function's own variables say, though they
// came late.
func TestBootedAheadFindsModules(t *testing.T) {
	p, ours := ahead(t, node, "index.handler")
	p.bind(ours, "NODE_PATH="+p.task+"/modules")
	p.answers(`{"do":"require","name":"shared"}`, `"by NODE_PATH"`)
}

// A handler that fails to load, and an error, read as those of a plain start.
func TestBootedAheadFails(t *testing.T) {
	for name, handler := range map[string]string{"syntax": "syntax.handler", "starts": "starts.handler", "no-file": "nothing.handler"} {
		p, ours := ahead(t, node, handler)
		p.bind(ours)
		p.golden("node-init-"+name, p.failsToStart())
		p, ours = ahead(t, python, handler)
		p.bind(ours)
		p.golden("python-init-"+name, p.failsToStart())
	}
}

// One that nobody wants ends without a word.
func TestBootedForNobody(t *testing.T) {
	for _, l := range []language{node, python} {
		p, ours := ahead(t, l, "")
		ours.Close()
		p.ends(0)
		for line := range p.lines {
			t.Errorf("%s printed %q", l.program, line)
		}
	}
}
