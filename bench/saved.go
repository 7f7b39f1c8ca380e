package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// saves is how often each file is saved.
const saves = 15

// saved measures `gust dev`: from a file that is saved to the first answer of
// the new version, as who edits it sees it.
func saved(r *run) (rows []row, err error) {
	for _, c := range []struct {
		runtime, file, needs string
		old, new             string // what is edited
		aim                  time.Duration
	}{
		{"node", "src/index.js", "node", "`${process.env.GREETING}, ${who}!`", "`%s, ${who}!`", 300 * time.Millisecond},
		{"python", "src/app.py", "python3", `{os.environ['GREETING']}`, "%s", 300 * time.Millisecond},
		{"go", "main.go", "go", `os.Getenv("GREETING") +`, `os.Getenv("NOTHING") + "%s" +`, time.Second},
	} {
		if _, err := exec.LookPath(c.needs); err != nil {
			continue
		}
		got, err := r.savedIn(c.runtime, c.file, c.old, c.new)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.runtime, err)
		}
		slices.Sort(got)
		p50, p99 := quantile(got, 0.5), quantile(got, 0.99)
		met := "no"
		if p50 <= c.aim {
			met = "yes"
		}
		rows = append(rows, row{name: "gust dev, a file saved to its first answer, " + c.runtime, aim: fmt.Sprintf("%d ms or less", c.aim.Milliseconds()),
			gust: millis(p50), p50: millis(p50), p99: millis(p99), met: met})
	}
	return rows, nil
}

func (r *run) savedIn(runtime, file, old, new string) (_ []time.Duration, err error) {
	app := filepath.Join(r.dir, "saved-"+runtime)
	if out, err := exec.Command(r.bin, "init", app, "--runtime", runtime).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("gust init: %w\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.bin, append([]string{"dev", app, "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"}, r.flags...)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, cmd.Process.Signal(syscall.SIGINT), cmd.Wait())
	}()
	url := ""
	lines := bufio.NewScanner(out)
	address := regexp.MustCompile(`^  HTTP     (\S+)$`)
	for lines.Scan() && !strings.Contains(lines.Text(), "STARTED") {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			url = m[1] + "/saved-" + runtime + "/Ada"
		}
	}
	go io.Copy(io.Discard, out) //nolint:errcheck // until it ends
	path := filepath.Join(app, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	times := saves
	if r.short {
		times = 3
	}
	var took []time.Duration
	for i := range times {
		want := fmt.Sprintf("word%d.", i)
		start := time.Now()
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, fmt.Sprintf(new, want), 1)), 0o644); err != nil {
			return nil, err
		}
		for answer := ""; !strings.Contains(answer, want); {
			resp, err := http.Get(url)
			if err != nil {
				return nil, err
			}
			b, err := io.ReadAll(resp.Body)
			if err = errors.Join(err, resp.Body.Close()); err != nil {
				return nil, err
			}
			answer = string(b)
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%q was never answered, but %q", want, answer)
			}
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}
