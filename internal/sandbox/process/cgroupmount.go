//go:build linux && (amd64 || arm64)

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cgroupMount is where a hierarchy is mounted, and which of its folders is
// seen there.
type cgroupMount struct{ dir, root string }

// cgroupMounts finds the mounted hierarchies: by controller for version 1,
// "unified" for version 2. root is "/" but for tests.
func cgroupMounts(root string) (map[string]cgroupMount, error) {
	b, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	return parseMounts(root, string(b)), nil
}

func parseMounts(root, mountinfo string) map[string]cgroupMount {
	mounts := map[string]cgroupMount{}
	for line := range strings.Lines(mountinfo) {
		// 36 35 98:0 /root /mount/point options [optional...] - type source superoptions
		left, right, ok := strings.Cut(strings.TrimSpace(line), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 3 {
			continue
		}
		m := cgroupMount{dir: filepath.Join(root, unescape(l[4])), root: unescape(l[3])}
		switch r[0] {
		case "cgroup2":
			if _, ok := mounts["unified"]; !ok {
				mounts["unified"] = m
			}
		case "cgroup":
			for _, o := range strings.Split(r[2], ",") {
				if _, ok := mounts[o]; !ok {
					mounts[o] = m
				}
			}
		}
	}
	return mounts
}

// unescape undoes mountinfo's octal escapes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// ownCgroups tells in which group the node is, by controller.
func ownCgroups(root string) (map[string]string, error) {
	b, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil, err
	}
	return parseOwn(string(b)), nil
}

func parseOwn(cgroup string) map[string]string {
	own := map[string]string{}
	for line := range strings.Lines(cgroup) {
		p := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(p) != 3 {
			continue
		}
		if p[1] == "" {
			own["unified"] = p[2]
			continue
		}
		for _, ctl := range strings.Split(p[1], ",") {
			own[ctl] = p[2]
		}
	}
	return own
}

var wantControllers = []string{"cpu", "memory", "pids"}

// delegate finds a folder of the version 2 hierarchy whose children can have
// controllers. A group that has them must not hold processes itself, so the
// node moves to a group "node" in its own, if it is alone there. Otherwise (it
// shares its group with a shell) the top of what it can see is tried, which is
// exempt from that rule when it is the real top.
func delegate(top, own string) (string, error) {
	err := enable(own)
	if err == nil {
		return own, nil
	}
	procs, rerr := os.ReadFile(filepath.Join(own, "cgroup.procs"))
	if rerr == nil && own != top && slices.Equal(strings.Fields(string(procs)), []string{strconv.Itoa(os.Getpid())}) {
		if err = moveTo(filepath.Join(own, "node")); err == nil {
			if err = enable(own); err == nil {
				return own, nil
			}
		}
	}
	if own != top {
		if terr := enable(top); terr == nil {
			return top, nil
		}
	}
	return "", fmt.Errorf("the cgroup controllers cpu, memory and pids cannot be turned on below %s: %w; "+
		"start gust in a group of its own, as in: systemd-run --scope -p Delegate=yes gust up", own, err)
}

func moveTo(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return writeFile(dir, "cgroup.procs", strconv.Itoa(os.Getpid()))
}

// enable turns the controllers on for the children of dir.
func enable(dir string) error {
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	on, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range wantControllers {
		if !slices.Contains(strings.Fields(string(have)), c) {
			return fmt.Errorf("the controller %s is not there", c)
		}
		if !slices.Contains(strings.Fields(string(on)), c) {
			missing = append(missing, "+"+c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return writeFile(dir, "cgroup.subtree_control", strings.Join(missing, " "))
}
