//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// tree writes files below a folder.
func tree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// content reads what was written to a control file.
func content(t *testing.T, dir, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const mountV2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

// v2Files are the control files that the kernel would make in a group.
func v2Files(dir string) map[string]string {
	files := map[string]string{}
	for _, f := range []string{
		"cgroup.controllers", "cgroup.subtree_control", "cgroup.procs", "cgroup.freeze", "cgroup.events",
		"memory.max", "memory.swap.max", "memory.current", "memory.stat", "memory.events",
		"pids.max", "cpu.weight", "cpu.max", "cpu.max.burst", "cpu.stat",
	} {
		files[filepath.Join(dir, f)] = ""
	}
	files[filepath.Join(dir, "cgroup.controllers")] = "cpuset cpu io memory pids\n"
	return files
}

// fakeV2 is a machine with version 2 alone, with the node in /system.slice/gust.
func fakeV2(t *testing.T, procs string) string {
	t.Helper()
	root := t.TempDir()
	tree(t, root, map[string]string{
		"proc/self/mountinfo": mountV2,
		"proc/self/cgroup":    "0::/system.slice/gust\n",
	})
	for _, dir := range []string{"", "system.slice", "system.slice/gust", "system.slice/gust/node", "system.slice/gust/gust-x", "system.slice/gust/gust-x/1", "gust-x"} {
		tree(t, root, v2Files(filepath.Join("sys/fs/cgroup", dir)))
	}
	tree(t, root, map[string]string{"sys/fs/cgroup/system.slice/gust/cgroup.procs": procs})
	return root
}

func TestVersion2(t *testing.T) {
	root := fakeV2(t, strconv.Itoa(os.Getpid())+"\n")
	c, err := openCgroups(root, "gust-x")
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(root, "sys/fs/cgroup/system.slice/gust")
	if !c.v2 || c.unified != filepath.Join(own, "gust-x") {
		t.Fatalf("it is %+v", c)
	}
	if got := content(t, own, "cgroup.subtree_control"); got != "+cpu +memory +pids" {
		t.Errorf("the node's group gives its children %q", got)
	}
	if err := c.create(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, c.unified, "cgroup.subtree_control"); got != "+memory +pids +cpu" {
		t.Errorf("the functions' group gives its children %q", got)
	}
	dir := filepath.Join(c.unified, "1")
	use, err := os.Open(filepath.Join(dir, "memory.current"))
	if err != nil {
		t.Fatal(err)
	}
	defer use.Close()
	g := &group{c: c, name: "1", use: use}
	steps := []struct {
		name string
		do   func() error
		want map[string]string
	}{
		{"join", func() error { return g.join(77) }, map[string]string{"cgroup.procs": "77"}},
		{"limit", func() error { return g.limit(256*gust.MB, 50) }, map[string]string{"memory.max": "268435456", "memory.swap.max": "0", "pids.max": "51"}},
		{"weight of 256 MB", func() error { return g.weigh(256 * gust.MB) }, map[string]string{"cpu.weight": "14"}},
		{"weight of 10240 MB", func() error { return g.weigh(gust.MaxMemory) }, map[string]string{"cpu.weight": "578"}},
		{"weight while it initialises", func() error { return g.weigh(0) }, map[string]string{"cpu.weight": "100"}},
		{"quota of a core", func() error { return g.quota(gust.CoreMemory) }, map[string]string{"cpu.max": "100000 100000", "cpu.max.burst": "100000"}},
		{"quota of 128 MB", func() error { return g.quota(128 * gust.MB) }, map[string]string{"cpu.max": "7235 100000", "cpu.max.burst": "7235"}},
		{"no quota", func() error { return g.quota(0) }, map[string]string{"cpu.max": "max 100000"}},
		{"thaw", g.thaw, map[string]string{"cgroup.freeze": "0"}},
		{"freeze", func() error {
			tree(t, dir, map[string]string{"cgroup.events": "populated 1\nfrozen 1\n"})
			return g.freeze()
		}, map[string]string{"cgroup.freeze": "1"}},
	}
	for _, s := range steps {
		// A control file takes a write for a whole value.
		for file := range s.want {
			tree(t, dir, map[string]string{file: ""})
		}
		if err := s.do(); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		for file, want := range s.want {
			if got := content(t, dir, file); got != want {
				t.Errorf("%s: %s is %q, want %q", s.name, file, got, want)
			}
		}
	}

	tree(t, dir, map[string]string{
		"memory.current": "100000000\n",
		"memory.stat":    "anon 50000000\nfile 40000000\ninactive_file 10000000\nactive_file 20000000\nslab_reclaimable 5000000\n",
		"memory.events":  "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n",
		"cpu.stat":       "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
	})
	if n, err := g.memory(); n != 65_000_000 || err != nil {
		t.Errorf("its memory is %d, %v; want what is charged without file cache and slabs", n, err)
	}
	if n, err := g.killed(); n != 2 || err != nil {
		t.Errorf("the kernel has killed %d, %v; want 2", n, err)
	}
	if d, err := g.cpu(); d != 1500*time.Millisecond || err != nil {
		t.Errorf("it has used %v, %v; want 1.5s", d, err)
	}
}

func TestVersion2WhereTheNodeStands(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	t.Run("with others in its group it goes to the top", func(t *testing.T) {
		root := fakeV2(t, me+"\n1234\n")
		// The kernel would refuse; here the controllers are not there.
		tree(t, root, map[string]string{"sys/fs/cgroup/system.slice/gust/cgroup.controllers": "\n"})
		c, err := openCgroups(root, "gust-x")
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(root, "sys/fs/cgroup/gust-x"); c.unified != want {
			t.Errorf("its group is %s, want %s", c.unified, want)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		root := fakeV2(t, me+"\n1234\n")
		for _, dir := range []string{"", "system.slice/gust/"} {
			tree(t, root, map[string]string{"sys/fs/cgroup/" + dir + "cgroup.controllers": "cpu\n"})
		}
		_, err := openCgroups(root, "gust-x")
		if err == nil || !strings.Contains(err.Error(), "systemd-run --scope -p Delegate=yes") {
			t.Errorf("the error is %v, want what to do", err)
		}
	})
	t.Run("no hierarchy", func(t *testing.T) {
		root := t.TempDir()
		tree(t, root, map[string]string{"proc/self/mountinfo": "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "proc/self/cgroup": ""})
		if _, err := openCgroups(root, "gust-x"); err == nil {
			t.Error("it has found one")
		}
	})
	t.Run("a controller of version 1 is missing", func(t *testing.T) {
		root := t.TempDir()
		tree(t, root, map[string]string{
			"proc/self/mountinfo": "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			"proc/self/cgroup":    "2:memory:/\n",
		})
		if _, err := openCgroups(root, "gust-x"); err == nil || !strings.Contains(err.Error(), `"pids"`) {
			t.Errorf("the error is %v, want the controller's name", err)
		}
	})
}

// TestVersion1Places: controllers that share a hierarchy, a container that sees
// a part of it, and names that are escaped.
func TestVersion1Places(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{
		"proc/self/mountinfo": `31 30 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/with\040space ro - cgroup cgroup rw,pids
34 30 0:30 / /sys/fs/cgroup/freezer ro - cgroup cgroup rw,freezer
`,
		"proc/self/cgroup": "5:freezer:/f\n4:pids:/p\n3:cpu,cpuacct:/c\n2:memory:/docker/abc/own\n1:name=systemd:/s\n",
	})
	c, err := openCgroups(root, "gust-x")
	if err != nil {
		t.Fatal(err)
	}
	fs := filepath.Join(root, "sys/fs/cgroup")
	want := map[string]string{
		"memory":  fs + "/memory/own/gust-x",
		"pids":    fs + "/with space/p/gust-x",
		"cpu":     fs + "/cpu,cpuacct/c/gust-x",
		"cpuacct": fs + "/cpu,cpuacct/c/gust-x",
		"freezer": fs + "/freezer/f/gust-x",
	}
	if fmt.Sprint(c.dirs) != fmt.Sprint(want) {
		t.Errorf("the groups are\n%v, want\n%v", c.dirs, want)
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		``: ``, `/a`: `/a`, `/a\040b`: `/a b`, `/a\134`: `/a\`, `\`: `\`, `\04`: `\04`, `\999x`: `\999x`, `\011\012`: "\t\n",
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzMountinfo(f *testing.F) {
	f.Add(mountV2, "0::/x\n")
	f.Add("31 30 0:27 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "2:memory:/docker/abc\n")
	f.Add("- \\0", "::\n:")
	f.Fuzz(func(t *testing.T, mountinfo, cgroup string) {
		for name, m := range parseMounts("/", mountinfo) {
			if name == "" && m.dir == "" {
				t.Errorf("nothing is mounted nowhere")
			}
			if !filepath.IsAbs(m.dir) {
				t.Errorf("%s is mounted at %q", name, m.dir)
			}
		}
		parseOwn(cgroup)
	})
}
