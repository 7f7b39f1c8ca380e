//go:build linux && (amd64 || arm64)

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a killed node leaves is only this: cgroups, which are noted in a file of
// the run folder before they are made, and for a moment the processes in them,
// which the kernel ends with the node (PR_SET_PDEATHSIG) unless a version 1
// freezer holds them. Everything else ends with its last user: mounts with
// their namespace, loop devices and the unnamed files below them with their
// mount.

const notesFile = "cgroups"

// note writes down which cgroups the node is going to make.
func (c *cgroups) note(run string) error {
	b, err := json.Marshal(c.paths)
	if err != nil {
		return err
	}
	tmp := filepath.Join(run, notesFile+".new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(run, notesFile))
}

// recoverRun removes what a killed node has left: by its notes in the run
// folder, and at the places where this one is going to have its own.
func recoverRun(run, name string, c *cgroups, log *slog.Logger) error {
	dirs := slices.Clone(c.paths)
	b, err := os.ReadFile(filepath.Join(run, notesFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		var noted []string
		if err := json.Unmarshal(b, &noted); err != nil {
			log.Warn("the notes of an earlier node are not readable", "error", err)
		}
		for _, dir := range noted {
			// Only what bears this node's name: a file is easily edited.
			if filepath.Base(dir) == name && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	ended := 0
	for _, dir := range dirs {
		n, err := clearGroup(dir)
		if err != nil {
			return fmt.Errorf("remove what an earlier node has left: %w", err)
		}
		ended += n
	}
	leftovers, err := filepath.Glob(filepath.Join(run, formatPrefix+"*"))
	if err != nil {
		return err
	}
	for _, f := range leftovers {
		if err := os.Remove(f); err != nil {
			return fmt.Errorf("remove what an earlier node has left: %w", err)
		}
	}
	if ended > 0 {
		log.Info("ended what an earlier node had left running", "processes", ended)
	}
	return nil
}

// clearGroup ends all processes in the groups below dir, and removes them and
// it. It returns how many processes it ended.
func clearGroup(dir string) (int, error) {
	children, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	ended := 0
	for _, c := range children {
		if c.IsDir() {
			n, err := clearGroup(filepath.Join(dir, c.Name()))
			ended += n
			if err != nil {
				return ended, err
			}
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return ended, err
		}
		pids := strings.Fields(string(b))
		if len(pids) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return ended, fmt.Errorf("the processes %s in %s do not end", strings.Join(pids, ", "), dir)
		}
		for _, p := range pids {
			pid, err := strconv.Atoi(p)
			if err == nil && killIn(pid, dir) {
				ended++
			}
		}
		// A frozen group does not even take SIGKILL with version 1.
		writeFile(dir, "freezer.state", "THAWED")
	}
	return ended, removeGroup(dir)
}

// killIn kills a process if it is (still) in the group.
func killIn(pid int, dir string) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil || !slices.Contains(strings.Fields(string(b)), strconv.Itoa(pid)) {
		return false
	}
	return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}

// protectNode keeps the kernel from ending the node when memory is short,
// unless somebody has decided about that already.
func protectNode() error {
	const file = "/proc/self/oom_score_adj"
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(b)) != "0" {
		return nil
	}
	return os.WriteFile(file, []byte("-900"), 0)
}
