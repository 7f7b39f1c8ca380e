//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
	"github.com/gust-dev/gust/internal/sandbox"
)

// library is the system's interpreters as roots, made once for all tests.
var library = sync.OnceValues(func() (*runtimes.Roots, error) {
	return runtimes.Open(runtimes.Options{Dir: rootsDir, Isolated: true})
})

// interpreted is the Spec of a function of one of the system's interpreters.
func interpreted(tb testing.TB, kind gust.Runtime, files map[string]string) sandbox.Spec {
	tb.Helper()
	needRoot(tb)
	l, err := library()
	if err != nil {
		tb.Fatal(err)
	}
	r, release, err := l.Acquire(tb.Context(), &gust.Function{Runtime: kind, Interpreter: string(kind)})
	if err != nil {
		tb.Skip(err)
	}
	tb.Cleanup(release)
	code := tb.TempDir()
	tree(tb, code, files)
	filepath.WalkDir(filepath.Dir(code), func(p string, _ os.DirEntry, err error) error { os.Chmod(p, 0o755); return err })
	spec := helloSpec(code)
	spec.Runtime, spec.Root = kind, r.Path
	spec.Command = []string{r.Program, filepath.Join(r.Client, map[gust.Runtime]string{gust.RuntimeNode: "bootstrap.cjs", gust.RuntimePython: "bootstrap.py"}[kind])}
	const same = "LD_LIBRARY_PATH=/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
	spec.Boot, spec.BootEnv = spec.Command, []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp", same}
	spec.Env = append(spec.BootEnv, "_HANDLER=index.handler", "LAMBDA_TASK_ROOT=/var/task", "AWS_LAMBDA_FUNCTION_NAME=f")
	return spec
}

// TestLibrariesOfBoundInterpreters: what an interpreter could not find while it
// booted it finds when it is there. A loader remembers which folders there are
// not.
func TestLibrariesOfBoundInterpreters(t *testing.T) {
	var own string
	for _, dir := range []string{"/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64"} {
		if p, err := filepath.EvalSymlinks(dir + "/libz.so.1"); err == nil {
			own = p
		}
	}
	text, err := os.ReadFile(own)
	if err != nil {
		t.Skip("no library to copy:", err)
	}
	spec := interpreted(t, gust.RuntimePython, map[string]string{
		"index.py":     "import ctypes\ndef handler(event, context):\n    for name in ('libbeside.so', 'libcode.so', 'liblayer.so'):\n        ctypes.CDLL(name)\n",
		"libbeside.so": string(text), "lib/libcode.so": string(text),
	})
	layer := t.TempDir()
	tree(t, layer, map[string]string{"lib/liblayer.so": string(text)})
	filepath.WalkDir(filepath.Dir(layer), func(p string, _ os.DirEntry, err error) error { os.Chmod(p, 0o755); return err })
	spec.Layers = []string{layer}
	o := options(t, 0)
	o.PoolMemory = 512 * gust.MB
	b := newBackend(t, o)
	b.Prepare([]sandbox.Spec{spec})
	eventually(t, "one waits", func() bool { return waiting(b) == 1 })
	for _, boot := range [][]string{spec.Boot, nil} {
		t.Run(fmt.Sprintf("pooled=%v", boot != nil), func(t *testing.T) {
			spec := anew(spec)
			spec.Boot = boot
			spec.Output = func(line []byte) { t.Logf("%s", line) }
			e := start(t, b, spec)
			if e.Pooled() != (boot != nil) {
				t.Fatalf("it is out of the pool: %v", e.Pooled())
			}
			invoke(t, e)
		})
	}
}

// BenchmarkInterpreter is from Start to the first answer of a function of each
// interpreter, out of the pool and without it, in turn.
func BenchmarkInterpreter(b *testing.B) {
	for kind, files := range map[gust.Runtime]map[string]string{
		gust.RuntimeNode:   {"index.js": "exports.handler = async () => 'hello';\n"},
		gust.RuntimePython: {"index.py": "def handler(event, context):\n    return 'hello'\n"},
	} {
		b.Run(string(kind), func(b *testing.B) {
			spec := interpreted(b, kind, files)
			o := options(b, DefaultSpares)
			o.PoolMemory = 512 * gust.MB
			backend := newBackend(b, o)
			backend.Prepare([]sandbox.Spec{spec})
			var ds [2][]time.Duration
			once := func(boot []string) time.Duration {
				spec := anew(spec)
				spec.Boot = boot
				settle(b, backend)
				eventually(b, "one waits", func() bool { return waiting(backend) > 0 })
				begin := time.Now()
				e := start(b, backend, spec)
				invoke(b, e)
				took := time.Since(begin)
				if e.Pooled() != (boot != nil) {
					b.Fatal("out of the pool, or not, against what was meant")
				}
				e.Stop(0)
				return took
			}
			for b.Loop() {
				ds[0] = append(ds[0], once(spec.Boot))
				ds[1] = append(ds[1], once(nil))
			}
			for i, name := range []string{"hit", "plain"} {
				for _, p := range []int{50, 99} {
					b.ReportMetric(float64(percentile(ds[i], p).Microseconds()), fmt.Sprintf("p%d-us/%s", p, name))
				}
			}
			for _, p := range backend.Pools() {
				if p.Waiting > 0 {
					b.ReportMetric(float64(p.Memory)/float64(p.Waiting)/gust.MB, "MB/waiting")
				}
			}
		})
	}
}
