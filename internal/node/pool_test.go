package node_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gust-dev/gust/internal/api"
	"github.com/gust-dev/gust/internal/observe"
)

// Declared functions find an interpreter that waits, by which their reports and
// the metrics tell of them; what cannot be bound late does not.
func TestInterpretersWait(t *testing.T) {
	h := newHouse(t)
	h.isolated()
	for name, text := range map[string]string{
		"js/index.js": "exports.handler = async () => process.env.WHO + ' ' + (process.env.GUST_BOOT ?? 'bound');\n",
		"py/app.py":   "import os\ndef handler(event, context):\n    return os.environ['WHO'] + ' ' + os.environ.get('GUST_BOOT', 'bound')\n",
	} {
		if err := os.MkdirAll(filepath.Join(h.app, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.app, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := h.start()
	for _, kind := range []string{"node", "python"} {
		if out, status := h.gust("runtime", "ls"); status != 0 || !strings.Contains(out, kind+"@") {
			t.Skipf("there is no %s here: %s", kind, out)
		}
	}
	h.deploy(`
app: pool
functions:
  js: {runtime: node, source: ./js, handler: index.handler, env: {WHO: js}}
  early: {runtime: node, source: ./js, handler: index.handler, env: {WHO: early, NODE_OPTIONS: --no-warnings}}
  py: {runtime: python, source: ./py, handler: app.handler, env: {WHO: py}}
routes:
  GET /js: js
  GET /early: early
  GET /py: py
`, "--no-start")
	waits := regexp.MustCompile(`(?m)^gust_pool_interpreters\{.*\} [1-9]`)
	until(t, "one of each waits", func() bool { return len(waits.FindAllString(n.metrics(), -1)) == 2 })
	for _, f := range []struct {
		name   string
		pooled bool
	}{{"js", true}, {"py", true}, {"early", false}} {
		r := n.get("/" + f.name)
		if r.status != http.StatusOK || !strings.Contains(r.body, f.name+" bound") {
			t.Errorf("%s answers %d %q", f.name, r.status, r.body)
		}
		n.logged(api.LogQuery{Function: f.name}, "its report", func(rec *observe.Record) bool {
			if rec.Kind == observe.KindReport && (rec.Report.Pooled != f.pooled || rec.Report.Cold == "") {
				t.Errorf("the report of %s is %+v", f.name, rec.Report)
			}
			return rec.Kind == observe.KindReport
		})
		pool := map[bool]string{true: "hit", false: "none"}[f.pooled]
		want := regexp.MustCompile(fmt.Sprintf(`(?m)^gust_cold_starts_total\{app="pool",cause="first",function=%q,pool=%q\} 1$`, f.name, pool))
		if m := n.metrics(); !want.MatchString(m) {
			t.Errorf("the figures lack %s: %q", want, regexp.MustCompile(`gust_cold_starts_total\{.*`).FindAllString(m, -1))
		}
	}
	if out, status := h.gust("logs", "js"); status != 0 || !strings.Contains(out, ", from the pool)") {
		t.Errorf("gust logs ends with %d: %s", status, out)
	}
	n.stop()
}
