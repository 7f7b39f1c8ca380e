//go:build linux && (amd64 || arm64)

package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	gust "github.com/gust-dev/gust"
)

// cgroups is the node's own group, in which every environment has one. It
// stands below the cgroup that the node itself was started in, so whatever
// bounds the node bounds its functions too.
type cgroups struct {
	v2 bool
	// dirs are the node's folders, one a hierarchy that is used. With version
	// 2 there is one. With version 1 there is one a controller, and the
	// unified hierarchy beside them, if it is mounted, for what it does
	// better without any controller: freezing and accounting CPU time.
	dirs    map[string]string
	paths   []string // the same, each once: controllers may share a hierarchy
	unified string   // the folder with cgroup.freeze, "" if there is none
	swap    bool     // version 1: the kernel accounts swap
}

// group is one environment's.
type group struct {
	c    *cgroups
	name string
	// use is the open file that tells what is charged: it is read often.
	use *os.File
}

const cpuPeriod = 100 * time.Millisecond

// openCgroups makes the node's group. root is "/" but for tests.
func openCgroups(root, name string) (*cgroups, error) {
	mounts, err := cgroupMounts(root)
	if err != nil {
		return nil, err
	}
	own, err := ownCgroups(root)
	if err != nil {
		return nil, err
	}
	c := &cgroups{dirs: map[string]string{}}
	place := func(m cgroupMount, own string) string {
		rel, err := filepath.Rel(m.root, own)
		if err != nil || strings.HasPrefix(rel, "..") {
			rel = "." // the node was moved out of what it can see
		}
		return filepath.Join(m.dir, rel)
	}
	unified, haveUnified := mounts["unified"]
	if _, v1 := mounts["memory"]; !v1 {
		if !haveUnified {
			return nil, errors.New("no cgroup hierarchy is mounted")
		}
		c.v2 = true
		parent, err := delegate(unified.dir, place(unified, own["unified"]))
		if err != nil {
			return nil, err
		}
		c.unified = filepath.Join(parent, name)
		c.dirs["unified"] = c.unified
	} else {
		for _, ctl := range []string{"memory", "pids", "cpu"} {
			m, ok := mounts[ctl]
			if !ok {
				return nil, fmt.Errorf("the cgroup controller %q (version 1) is not mounted", ctl)
			}
			c.dirs[ctl] = filepath.Join(place(m, own[ctl]), name)
		}
		if haveUnified {
			c.unified = filepath.Join(place(unified, own["unified"]), name)
			c.dirs["unified"] = c.unified
		} else {
			for _, ctl := range []string{"freezer", "cpuacct"} {
				m, ok := mounts[ctl]
				if !ok {
					return nil, fmt.Errorf("the cgroup controller %q (version 1) is not mounted", ctl)
				}
				c.dirs[ctl] = filepath.Join(place(m, own[ctl]), name)
			}
		}
	}
	c.paths = slices.Compact(slices.Sorted(maps.Values(c.dirs)))
	return c, nil
}

// create makes the node's folders. What the functions get together, when the
// node wants the cores too, is the weight of one thread of the node on every
// core.
func (c *cgroups) create() error {
	for _, dir := range c.paths {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			c.remove()
			return err
		}
	}
	var err error
	if c.v2 {
		err = errors.Join(
			writeFile(c.unified, "cgroup.subtree_control", "+memory +pids +cpu"),
			writeFile(c.unified, "cpu.weight", strconv.Itoa(min(100*runtime.NumCPU(), 10000))),
		)
	} else {
		err = writeFile(c.dirs["cpu"], "cpu.shares", strconv.Itoa(min(1024*runtime.NumCPU(), 1<<18)))
		_, serr := os.Stat(filepath.Join(c.dirs["memory"], "memory.memsw.limit_in_bytes"))
		c.swap = serr == nil
	}
	if err != nil {
		c.remove()
		return err
	}
	return nil
}

// remove gives the node's folders back; the environments' are gone by then.
func (c *cgroups) remove() error {
	var errs []error
	for _, dir := range c.paths {
		errs = append(errs, removeGroup(dir))
	}
	return errors.Join(errs...)
}

// newGroup makes an environment's group, without limits yet.
func (c *cgroups) newGroup(name string) (*group, error) {
	g := &group{c: c, name: name}
	for _, dir := range c.paths {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			g.remove()
			return nil, fmt.Errorf("make a cgroup: %w", err)
		}
	}
	file := "memory.usage_in_bytes"
	if c.v2 {
		file = "memory.current"
	}
	var err error
	if g.use, err = os.Open(filepath.Join(g.dir("memory"), file)); err != nil {
		g.remove()
		return nil, fmt.Errorf("make a cgroup: %w", err)
	}
	return g, nil
}

func (g *group) dir(controller string) string {
	if g.c.v2 {
		controller = "unified"
	}
	return filepath.Join(g.c.dirs[controller], g.name)
}

// join moves a process into the group, with all it will ever start.
func (g *group) join(pid int) error {
	for _, dir := range g.c.paths {
		if err := writeFile(filepath.Join(dir, g.name), "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// limit bounds memory (bytes, no swap) and processes, init not counted.
func (g *group) limit(memory int64, processes int) error {
	m := strconv.FormatInt(memory, 10)
	p := strconv.Itoa(processes + 1)
	if g.c.v2 {
		dir := g.dir("")
		err := errors.Join(
			writeFile(dir, "memory.max", m),
			writeFile(dir, "pids.max", p),
		)
		// Without swap in the kernel there is no such file, and no swap.
		if serr := writeFile(dir, "memory.swap.max", "0"); serr != nil && !errors.Is(serr, fs.ErrNotExist) {
			err = errors.Join(err, serr)
		}
		return err
	}
	mem := g.dir("memory")
	err := writeFile(mem, "memory.limit_in_bytes", m)
	switch {
	case !g.c.swap:
		err = errors.Join(err, writeFile(mem, "memory.swappiness", "0"))
	case errors.Is(err, syscall.EINVAL):
		// It would pass the limit of memory and swap together, which has to
		// be raised before.
		err = writeFile(mem, "memory.memsw.limit_in_bytes", m)
		err = errors.Join(err, writeFile(mem, "memory.limit_in_bytes", m))
	default:
		err = errors.Join(err, writeFile(mem, "memory.memsw.limit_in_bytes", m))
	}
	// Buffers of TCP connections are counted apart with version 1, and only
	// when they are bounded.
	tcp := strconv.FormatInt(max(memory/4, 16*gust.MB), 10)
	if terr := writeFile(mem, "memory.kmem.tcp.limit_in_bytes", tcp); !errors.Is(terr, fs.ErrNotExist) {
		err = errors.Join(err, terr)
	}
	return errors.Join(err, writeFile(g.dir("pids"), "pids.max", p))
}

// weigh gives the group the CPU time that memory is worth when others want it
// too: gust.CoreMemory as much as a thread outside has, which is also what a
// new group has, and 0 stands for.
func (g *group) weigh(memory int64) error {
	if memory == 0 {
		memory = gust.CoreMemory
	}
	if g.c.v2 {
		return writeFile(g.dir(""), "cpu.weight", strconv.FormatInt(min(max(100*memory/gust.CoreMemory, 1), 10000), 10))
	}
	return writeFile(g.dir("cpu"), "cpu.shares", strconv.FormatInt(max(1024*memory/gust.CoreMemory, 2), 10))
}

// quota caps CPU time at what memory is worth; 0 takes the cap away. Unused
// quota of one period may be spent in the next, where the kernel can (5.14).
func (g *group) quota(memory int64) error {
	q := max(cpuPeriod.Microseconds()*memory/gust.CoreMemory, 1000)
	period := strconv.FormatInt(cpuPeriod.Microseconds(), 10)
	dir := g.dir("cpu")
	burst := func(file, v string) error {
		err := writeFile(dir, file, v)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	s := strconv.FormatInt(q, 10)
	switch {
	case g.c.v2 && memory == 0:
		return writeFile(dir, "cpu.max", "max "+period)
	case g.c.v2:
		return errors.Join(writeFile(dir, "cpu.max", s+" "+period), burst("cpu.max.burst", s))
	case memory == 0:
		return errors.Join(burst("cpu.cfs_burst_us", "0"), writeFile(dir, "cpu.cfs_quota_us", "-1"))
	default:
		return errors.Join(writeFile(dir, "cpu.cfs_period_us", period),
			writeFile(dir, "cpu.cfs_quota_us", s), burst("cpu.cfs_burst_us", s))
	}
}

// freeze stops the group's processes and waits until they have stopped.
func (g *group) freeze() error {
	file, is := "cgroup.events", "frozen 1"
	dir := filepath.Join(g.c.unified, g.name)
	var err error
	if g.c.unified != "" {
		err = writeFile(dir, "cgroup.freeze", "1")
	} else {
		dir, file, is = g.dir("freezer"), "freezer.state", "FROZEN"
		err = writeFile(dir, "freezer.state", "FROZEN")
	}
	if err != nil {
		return err
	}
	wait := 20 * time.Microsecond
	for deadline := time.Now().Add(time.Second); ; wait = min(2*wait, 5*time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(dir, file))
		switch {
		case err != nil:
			return err
		case bytes.Contains(b, []byte(is)):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s does not stop within a second", dir)
		}
		time.Sleep(wait)
	}
}

func (g *group) thaw() error {
	if g.c.unified != "" {
		return writeFile(filepath.Join(g.c.unified, g.name), "cgroup.freeze", "0")
	}
	return writeFile(g.dir("freezer"), "freezer.state", "THAWED")
}

// charged is all that is charged to the group, page cache included: cheap.
func (g *group) charged() (int64, error) {
	var b [24]byte
	n, err := g.use.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	return strconv.ParseInt(string(bytes.TrimSpace(b[:n])), 10, 64)
}

// memory is what is charged to the group without the page cache that the
// kernel can take back.
func (g *group) memory() (int64, error) {
	all, err := g.charged()
	if err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(filepath.Join(g.dir("memory"), "memory.stat"))
	if err != nil {
		return 0, err
	}
	cache := []string{"total_inactive_file", "total_active_file"}
	if g.c.v2 {
		cache = []string{"inactive_file", "active_file", "slab_reclaimable"}
	}
	for _, key := range cache {
		all -= statValue(stat, key)
	}
	if !g.c.v2 {
		if tcp, err := readInt(g.dir("memory"), "memory.kmem.tcp.usage_in_bytes"); err == nil {
			all += tcp
		}
	}
	return max(all, 0), nil
}

// cpu is the processor time the group has used.
func (g *group) cpu() (time.Duration, error) {
	if g.c.unified == "" {
		n, err := readInt(g.dir("cpuacct"), "cpuacct.usage")
		return time.Duration(n), err
	}
	stat, err := os.ReadFile(filepath.Join(g.c.unified, g.name, "cpu.stat"))
	return time.Duration(statValue(stat, "usage_usec")) * time.Microsecond, err
}

// killed is how many of the group's processes the kernel has ended because
// memory was at its limit.
func (g *group) killed() (int64, error) {
	file := "memory.oom_control"
	if g.c.v2 {
		file = "memory.events"
	}
	stat, err := os.ReadFile(filepath.Join(g.dir("memory"), file))
	return statValue(stat, "oom_kill"), err
}

// remove gives the group back. Its processes have ended.
func (g *group) remove() error {
	var errs []error
	if g.use != nil {
		g.use.Close()
	}
	for _, dir := range g.c.paths {
		errs = append(errs, removeGroup(filepath.Join(dir, g.name)))
	}
	return errors.Join(errs...)
}

// removeGroup removes a folder that was made. A group is busy for a moment
// after its last process was reaped.
func removeGroup(dir string) error {
	wait := 50 * time.Microsecond
	for deadline := time.Now().Add(2 * time.Second); ; wait = min(2*wait, 10*time.Millisecond) {
		err := os.Remove(dir)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline):
			return fmt.Errorf("remove a cgroup: %w", err)
		}
		time.Sleep(wait)
	}
}

// writeFile writes to a control file, which has to be there.
func writeFile(dir, file, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func readInt(dir, file string) (int64, error) {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
}

// statValue finds "key value" in a flat-keyed control file; 0 if it is not
// there.
func statValue(stat []byte, key string) int64 {
	for line := range bytes.Lines(stat) {
		if v, ok := bytes.CutPrefix(line, []byte(key+" ")); ok {
			n, _ := strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64)
			return n
		}
	}
	return 0
}
