package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAccessFromTheBeginning does what docs/ACCESS.md tells a newcomer to do, and
// holds what comes of it against what the page shows.
func TestAccessFromTheBeginning(t *testing.T) {
	aws := need(t, "../.cache/conformance/clients/bin/aws")
	env := []string{"HOME=" + t.TempDir(), "PATH=" + strings.Join([]string{filepath.Dir(shared.binary), filepath.Dir(aws), os.Getenv("PATH")}, ":")}
	page, err := os.ReadFile("../docs/ACCESS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## From the beginning\n")
	section, _, _ = strings.Cut(section, "\n## ")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "shop", "front", "requirements.txt"), []byte("boto3\n"), 0o644)
	files := []string{"shop/gust.yaml", "shop/front/app.py", "shop/back/app.py"} // in the page's order
	var out string
	for _, m := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(section, -1) {
		switch kind, text := m[1], m[2]; kind {
		case "yaml", "python":
			if len(files) == 0 || !strings.Contains(section, "`"+files[0]+"`") {
				t.Fatal("the page has a file more than this test knows, or names another")
			}
			write(t, filepath.Join(dir, files[0]), []byte(text), 0o644)
			files = files[1:]
		case "sh":
			out = string(run(t, dir, env, "sh", "-c", "exec 2>&1\n"+text+"true")) // some of it is refused
		case "text":
			for line := range strings.Lines(text) {
				if line = strings.TrimSpace(line); !strings.Contains(out, line) {
					t.Errorf("the page shows\n%s\nand what came is\n%s", line, out)
				}
			}
		}
	}
}
