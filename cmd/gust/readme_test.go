package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/manifest"
)

// TestReadme does what README.md says, in its order: each block of shell
// commands is run (but for the address, which is a free one here), each make
// target exists, each manifest is valid, and each link leads somewhere.
func TestReadme(t *testing.T) {
	readme := read(t, "../../README.md")
	makefile := read(t, "../../Makefile")
	dir := t.TempDir()
	gust, err := exec.LookPath("gust")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(gust, filepath.Join(dir, "bin", "gust")); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "HOME="+filepath.Join(dir, "home"), "GOCACHE="+goEnv("GOCACHE"), "GOMODCACHE="+goEnv("GOMODCACHE"),
		"GUST_DATA="+filepath.Join(dir, "data"), "GUST_HTTP=127.0.0.1:0", "GUST_API=127.0.0.1:0", "GUST_SANDBOX=none", "GORACE="+goRace)

	address := "127.0.0.1:8080"
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		block := m[1]
		switch {
		case strings.HasPrefix(block, "make "):
			for line := range strings.Lines(block) {
				target := strings.Fields(line)[1]
				if !strings.Contains(makefile, "\n"+target+":") {
					t.Errorf("README.md says `make %s`; the Makefile has no such target", target)
				}
			}
		case strings.TrimSpace(block) == "bin/gust up":
			address = startForReadme(t, dir, env)
		default:
			cmd := exec.Command("sh", "-e", "-c", strings.ReplaceAll(block, "127.0.0.1:8080", address))
			cmd.Dir, cmd.Env = dir, env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("README.md says to run\n%s\nwhich ended with %v:\n%s", block, err, out)
			} else if strings.Contains(block, "curl") && !strings.Contains(string(out), "Hello, Ada!") {
				t.Errorf("calling the function printed:\n%s", out)
			}
		}
	}
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		if _, err := manifest.Parse("README.md", []byte(m[1])); err != nil {
			t.Errorf("a manifest of README.md is wrong:\n%v", err)
		}
	}
	for _, file := range []string{"README.md", "CONTRIBUTING.md", "docs/API.md", "docs/CLI.md", "docs/DEVELOPING.md"} {
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(read(t, "../../"+file), -1) {
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to what is not there: %v", file, err)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// startForReadme runs a node until the test ends, and returns where it serves.
func startForReadme(t *testing.T, dir string, env []string) (address string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, "bin", "gust"), "up")
	var log bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the node ended with %v:\n%s", err, &log)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "  sandbox") {
			a, err := api.ReadAddress(filepath.Join(dir, "data"))
			if err != nil {
				t.Fatal(err)
			}
			return a.HTTP
		}
	}
	t.Fatal("the node did not start")
	return ""
}
