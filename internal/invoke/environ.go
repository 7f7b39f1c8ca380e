package invoke

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/runtimes"
)

// environ is the environment of a function's program: what Lambda sets
// ("Using Lambda environment variables", defined runtime environment variables;
// for http what Cloud Run sets), how many threads fit its share of the cores, and
// what the function declares, which wins over all but the reserved names. Those
// it cannot declare.
//
// AWS_EXECUTION_ENV is missing as it is in Lambda's own OS-only runtimes, except
// for node and python. The way to the node's API and to the credentials of the
// function's role is the backend's to tell (sandbox.Spec.API).
// The program runs in the runtime r, and sees its code at root.
func environ(f *gust.Function, id string, place gust.Place, cause gust.ColdCause, root string, r runtimes.Runtime) []string {
	version := strconv.FormatUint(f.Version, 10)
	env := map[string]string{
		"PATH": pathOf(r),
		"HOME": "/tmp",
		"LANG": "C.UTF-8",
		"TZ":   ":UTC",
	}
	threads := strconv.Itoa(threads(f.Memory, runtime.NumCPU()))
	for _, name := range []string{"GOMAXPROCS", "TOKIO_WORKER_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS"} {
		env[name] = threads
	}
	// Go's collector works harder before the kernel ends the program.
	env["GOMEMLIMIT"] = strconv.FormatInt(f.Memory/10*9, 10)
	if f.Runtime == gust.RuntimeHTTP {
		env["K_SERVICE"] = f.Name
		env["K_CONFIGURATION"] = f.Name
		env["K_REVISION"] = fmt.Sprintf("%s-%05d", f.Name, f.Version)
	} else {
		env["LD_LIBRARY_PATH"] = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:" + root + ":" + root + "/lib:/opt/lib"
		env["AWS_XRAY_CONTEXT_MISSING"] = "LOG_ERROR"
	}
	handler := "bootstrap"
	if f.Runtime == gust.RuntimeNode || f.Runtime == gust.RuntimePython {
		managed(env, f, r, root)
		handler = f.Handler
	}
	maps.Copy(env, f.Env)
	besideProxies(env)
	env["AWS_REGION"] = place.Region
	env["AWS_DEFAULT_REGION"] = place.Region
	if f.Runtime != gust.RuntimeHTTP {
		initialization := "on-demand"
		if cause == gust.ColdProvisioned {
			initialization = "provisioned-concurrency"
		}
		for name, value := range map[string]string{
			"_HANDLER":                        handler,
			"LAMBDA_TASK_ROOT":                root,
			"LAMBDA_RUNTIME_DIR":              "/var/runtime",
			"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
			"AWS_LAMBDA_FUNCTION_VERSION":     version,
			"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.FormatInt(f.Memory/gust.MB, 10),
			"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.Name,
			"AWS_LAMBDA_LOG_STREAM_NAME":      time.Now().UTC().Format("2006/01/02/") + "[" + version + "]" + id,
			"AWS_LAMBDA_INITIALIZATION_TYPE":  initialization,
		} {
			env[name] = value
		}
		if n := f.PerEnvironment(); n > 1 {
			env["AWS_LAMBDA_MAX_CONCURRENCY"] = strconv.Itoa(n)
		}
	}
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// besideProxies keeps what is asked of the node's API, on the loopback, from a
// proxy that the function declares: clients of most languages would ask the proxy,
// whose loopback is another.
func besideProxies(env map[string]string) {
	const loopback = "127.0.0.1"
	proxied, told := false, false
	for name, value := range env {
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "ALL_PROXY":
			proxied = true
		case "NO_PROXY":
			told = true
			if value != "*" { // which is all, where it stands alone
				env[name] = strings.TrimPrefix(value+","+loopback, ",")
			}
		}
	}
	if proxied && !told {
		env["NO_PROXY"] = loopback
	}
}

// threads is how many threads of work fit a memory size's share of the cores.
func threads(memory int64, cores int) int {
	return min(max(1, int((memory+gust.CoreMemory-1)/gust.CoreMemory)), cores)
}
