package sandboxtest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// attack is one that the program inside carries out and answers for.
type attack struct {
	// name is the subtest, do what the program calls it.
	name, do string
	// least is how many attempts have to be in the answer: an attack that tried
	// nothing shows nothing.
	least int
	// control marks an attack that does no harm where it succeeds, and has to
	// succeed where there is no sandbox.
	control bool
	n       int
	facts   func(t *testing.T, facts map[string]int64)
}

var attacks = []attack{
	{name: "other processes", do: "processes", least: 10, control: true},
	{name: "other environments", do: "environments", least: 1, control: true},
	{name: "another's credentials", do: "credentials", least: 20, control: true},
	{name: "ptrace", do: "ptrace", least: 10},
	{name: "host files", do: "files", least: 20, control: true},
	{name: "file handles", do: "handles", least: 4, control: true},
	{name: "chroot", do: "chroot", least: 5},
	{name: "the code", do: "code", least: 20},
	{name: "the root", do: "root", least: 5, facts: atLeast("folders", 5)},
	{name: "links", do: "links", least: 6},
	{name: "links for the clean-up", do: "leavelinks"},
	{name: "deep folders for the clean-up", do: "deep", n: 1500, facts: atLeast("depth", 100)},
	{name: "proc", do: "proc", least: 50},
	{name: "sys and cgroups", do: "sys", least: 5},
	{name: "device nodes", do: "devices", least: 40},
	{name: "the starter and the node's binary", do: "self-exe", least: 4},
	{name: "inherited descriptors", do: "descriptors", least: 50, facts: exactly("descriptors", 3)},
	{name: "host network", do: "network", least: 8, control: true},
	{name: "socket families", do: "sockets", least: 100, control: true},
	{name: "netlink", do: "netlink", least: 5},
	{name: "capabilities", do: "capabilities", least: 40},
	{name: "setuid", do: "setuid", least: 20},
	{name: "setuid files and file capabilities", do: "setuid-files", least: 4},
	{name: "limits", do: "limits", least: 6},
	{name: "core dumps", do: "core", least: 1, facts: noCore},
	{name: "modules", do: "modules", least: 4},
	{name: "mount", do: "mount", least: 25},
	{name: "namespaces", do: "namespaces", least: 30},
	{name: "keyrings", do: "keyrings", least: 5},
	{name: "io_uring", do: "io_uring", least: 3, control: true},
	{name: "userfaultfd", do: "userfaultfd", least: 2, control: true},
	{name: "bpf", do: "bpf", least: 3, control: true},
	{name: "perf", do: "perf", least: 2, control: true},
	{name: "terminals", do: "terminal", least: 12, control: true},
	{name: "the machine's system calls", do: "system", least: 14},
	{name: "unknown system calls", do: "unknown", least: 4, control: true},
	{name: "foreign system calls", do: "foreign", least: 1},
}

// atLeast and exactly judge one fact of an answer.
func atLeast(name string, n int64) func(*testing.T, map[string]int64) {
	return func(t *testing.T, facts map[string]int64) {
		if facts[name] < n {
			t.Errorf("%s is %d, want %d at least", name, facts[name], n)
		}
	}
}

func exactly(name string, n int64) func(*testing.T, map[string]int64) {
	return func(t *testing.T, facts map[string]int64) {
		if facts[name] != n {
			t.Errorf("%s is %d, want %d", name, facts[name], n)
		}
	}
}

// noCore: a limit of 1 is what keeps a kernel from starting the host's core
// handler as well, which a limit of 0 does not (core(5), "Piping core dumps to
// a program").
func noCore(t *testing.T, facts map[string]int64) {
	if facts["hard"] != 1 {
		t.Errorf("the hard limit of cores is %d, want 1", facts["hard"])
	}
}

// attack runs every attack, with a neighbour beside it.
func (s *suite) attack(t *testing.T) {
	if !s.caps.Isolation {
		s.control(t)
		return
	}
	b := s.backend(t)
	h := s.host(t, b)
	code := s.privilegedCode(t)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			e := s.ready(t, b, func(s *sandbox.Spec) { s.Code = code })
			f := ask[wire.Findings](t, e, wire.Event{Do: a.do, N: a.n, Targets: h.targets})
			for _, gained := range f.Gained {
				t.Errorf("gained: %s", gained)
			}
			if len(f.Refused) < a.least {
				t.Errorf("%d attempts were refused, want %d at least", len(f.Refused), a.least)
			}
			if a.facts != nil {
				a.facts(t, f.Facts)
			}
			if t.Failed() || testing.Verbose() {
				t.Logf("%d refused:\n%s", len(f.Refused), strings.Join(f.Refused[:min(len(f.Refused), 20)], "\n"))
			}
			e.Stop(0)
			s.gone(t, e)
			h.unharmed(t)
		})
	}
	t.Run("users", func(t *testing.T) {
		e := s.ready(t, b)
		mine, neighbours := s.userOf(e), s.userOf(h.neighbour)
		if mine < 65536 || neighbours < 65536 || mine == neighbours {
			t.Errorf("outside it is user %d, and its neighbour %d: want two that nobody else is", mine, neighbours)
		}
	})
	t.Run("a program that names the starter as its interpreter", func(t *testing.T) { s.interpreters(t, b, h) })
	t.Run("signals to the first process", func(t *testing.T) { s.signals(t, b, h) })
}

// control shows that the attacks work: without a sandbox they gain something.
func (s *suite) control(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: what an attack gains depends on the user")
	}
	b := s.backend(t)
	h := s.host(t, b)
	for _, a := range attacks {
		if !a.control {
			continue
		}
		t.Run("control "+a.name, func(t *testing.T) {
			e := s.ready(t, b)
			f := ask[wire.Findings](t, e, wire.Event{Do: a.do, N: a.n, Targets: h.targets})
			if len(f.Gained) == 0 {
				t.Errorf("there is no sandbox and nothing was gained:\n%s", strings.Join(f.Refused, "\n"))
			}
			h.unharmed(t)
		})
	}
}

// host is what there is to be had outside, and the neighbour.
type host struct {
	targets   wire.Targets
	neighbour *env
	digest    gust.Digest // of the node's binary
	came      atomic.Int32
}

func (s *suite) host(t *testing.T, b sandbox.Backend) *host {
	t.Helper()
	h := &host{}
	h.targets = wire.Targets{Token: rand.Text(), PID: os.Getpid(), Mark: s.mark, OtherCode: filepath.Join(s.dir, "other")}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, path := range map[string]*string{"secret": &h.targets.Secret, "canary": &h.targets.Canary, "data": &h.targets.Data} {
		*path = filepath.Join(s.dir, name)
	}
	must(os.WriteFile(h.targets.Secret, []byte(h.targets.Token), 0o644))
	for _, dir := range []string{h.targets.Canary, h.targets.Data, h.targets.OtherCode} {
		must(os.Mkdir(dir, 0o755))
		must(os.Chmod(dir, 0o777))
	}
	must(os.WriteFile(filepath.Join(h.targets.Canary, "canary"), []byte("alive"), 0o666))
	var err error
	h.targets.Binary, err = os.Executable()
	must(err)
	h.digest = digest(t, h.targets.Binary)
	h.targets.Handle, h.targets.HandleType = handle(t, h.targets.Secret)
	h.listen(t, s)

	program, err := os.ReadFile(filepath.Join(s.code, "bootstrap"))
	must(err)
	must(os.WriteFile(filepath.Join(h.targets.OtherCode, "bootstrap"), program, 0o755))
	h.neighbour = s.ready(t, b, func(s *sandbox.Spec) { s.Code = h.targets.OtherCode })
	h.targets.Neighbour = s.processOf(h.neighbour)
	h.targets.Doors = []string{s.doors.of(h.neighbour).ln.Addr().String()}
	for _, v := range ask[[]string](t, h.neighbour, wire.Event{Do: "environ"}) {
		if path, ok := strings.CutPrefix(v, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="); ok {
			h.targets.Tokens = []string{path, fmt.Sprintf("/proc/%d/root%s", h.targets.Neighbour, path)}
		}
	}
	return h
}

// listen opens what a host listens on: loopback and its other addresses, UDP,
// an abstract socket and one with a path. Whoever comes is counted.
func (h *host) listen(t *testing.T, s *suite) {
	t.Helper()
	accept := func(l net.Listener) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				h.came.Add(1)
				conn.Close()
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
	}
	h.targets.Abstract = "gust-sandboxtest-" + s.mark
	h.targets.Unix = filepath.Join(s.dir, "socket")
	for _, addr := range []struct{ network, address string }{
		{"tcp", "0.0.0.0:0"}, {"tcp", "127.0.0.1:0"}, {"tcp", "[::1]:0"}, {"unix", "@" + h.targets.Abstract}, {"unix", h.targets.Unix},
	} {
		l, err := net.Listen(addr.network, addr.address)
		if err != nil && addr.address == "[::1]:0" {
			continue // a machine without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		accept(l)
		if tcp, ok := l.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
			_, port, _ := net.SplitHostPort(l.Addr().String())
			addrs, _ := net.InterfaceAddrs()
			for _, a := range addrs {
				if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil {
					h.targets.TCP = append(h.targets.TCP, net.JoinHostPort(ip.IP.String(), port))
				}
			}
		} else if ok {
			h.targets.TCP = append(h.targets.TCP, l.Addr().String())
		}
	}
	if err := os.Chmod(h.targets.Unix, 0o777); err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 64)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			h.came.Add(1)
			udp.WriteTo(b[:n], from)
		}
	}()
	t.Cleanup(func() { udp.Close(); <-done })
	h.targets.UDP = []string{udp.LocalAddr().String()}
}

// unharmed asserts that the neighbour answers and that the host is as it was.
func (h *host) unharmed(t *testing.T) {
	t.Helper()
	echo(t, h.neighbour)
	if got := digest(t, h.targets.Binary); got != h.digest {
		t.Errorf("the node's binary has changed: its digest was %s and is %s", h.digest, got)
	}
	if b, err := os.ReadFile(h.targets.Secret); err != nil || string(b) != h.targets.Token {
		t.Errorf("the host's file is now %q, %v", b, err)
	}
	entries, err := os.ReadDir(h.targets.Canary)
	if err != nil || len(entries) != 1 {
		t.Errorf("the host's folder has %d entries, want 1, %v", len(entries), err)
	}
	if b, err := os.ReadFile(filepath.Join(h.targets.Canary, "canary")); err != nil || string(b) != "alive" {
		t.Errorf("the canary is %q, %v", b, err)
	}
}

func digest(t *testing.T, path string) gust.Digest {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	d, _, err := gust.DigestOf(file)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// privilegedCode is a code folder with programs in it that would give the
// host's root to whoever runs them, were they run on the host.
func (s *suite) privilegedCode(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(s.dir, "privileged")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(s.code, "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"bootstrap": 0o755, "suid": 0o755 | os.ModeSetuid, "sgid": 0o755 | os.ModeSetgid, "filecap": 0o755} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, program, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	setFileCapabilities(t, filepath.Join(dir, "filecap"))
	if err := os.WriteFile(filepath.Join(dir, "data.txt"), bytes.Repeat([]byte("data"), 4096), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// interpreters: CVE-2019-5736 began with a program whose interpreter is
// /proc/self/exe, which made the starter run itself inside. Whatever comes of
// it, it ends, and the binary is as it was.
func (s *suite) interpreters(t *testing.T, b sandbox.Backend, h *host) {
	for name, put := range map[string]func(path string) error{
		"self":    script("#!/proc/self/exe\n"),
		"first":   script("#!/proc/1/exe\n"),
		"host":    script("#!" + h.targets.Binary + "\n"),
		"itself":  script("#!/var/task/bootstrap\n"),
		"symlink": func(path string) error { return os.Symlink("/proc/self/exe", path) },
		"outside": func(path string) error { return os.Symlink(h.targets.Binary, path) },
		"up":      func(path string) error { return os.Symlink("../../../../../.."+h.targets.Binary, path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(s.dir, "interpreter-"+name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := put(filepath.Join(dir, "bootstrap")); err != nil {
				t.Fatal(err)
			}
			e, err := s.tryStart(t, b, func(s *sandbox.Spec) { s.Code, s.Command = dir, []string{"./bootstrap"} })
			if err == nil {
				inv := invocation(wire.Event{Do: "echo"}, time.Second)
				if res, err := e.Invoke(t.Context(), inv); err == nil {
					t.Errorf("it answered %q", res.Payload)
				} else {
					t.Log(err)
				}
				e.Stop(0)
				s.gone(t, e)
			}
			h.unharmed(t)
		})
	}
}

func script(text string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(text), 0o755) }
}

// signals: a program may signal what is in its namespace. Its own environment
// may end of that, by name; nobody else's.
func (s *suite) signals(t *testing.T, b sandbox.Backend, h *host) {
	for _, do := range []string{"signal-init", "signal-all"} {
		t.Run(do, func(t *testing.T) {
			e := s.ready(t, b)
			res, err := e.Invoke(t.Context(), invocation(wire.Event{Do: do}, patience))
			if err != nil {
				t.Logf("the environment ended: %v", err)
				within(t, "Done", e.Done())
			} else {
				var f wire.Findings
				if err := json.Unmarshal(res.Payload, &f); err != nil {
					t.Fatal(err)
				}
				for _, gained := range f.Gained {
					t.Errorf("gained: %s", gained)
				}
				t.Log(strings.Join(f.Refused, "\n"))
				echo(t, e)
			}
			e.Stop(0)
			s.gone(t, e)
			h.unharmed(t)
		})
	}
}
