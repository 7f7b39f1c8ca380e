package main

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

// credentials tries to get at what another environment's program may ask the
// node's API for: its way there, and its token. And it tries to change its own
// token, which others would then not believe.
func credentials(f *findings, ev wire.Event) {
	own, file := ownToken(), os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
	mine := os.Getenv(wire.ID)
	visit := func(addr, token string) {
		d, err := callAPI("http://"+addr+"/", token)
		if err == nil && d.Environment == mine {
			f.refused("%s leads to its own", addr)
			return
		}
		if f.try("reach "+addr, err) && d.Known {
			f.gained("%s gives out credentials of %s", addr, d.Environment)
		}
	}
	var found []string
	look := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			f.refused("read %s: %v", path, err)
			return
		}
		if string(text) == own {
			f.refused("%s is its own token", path)
			return
		}
		f.gained("read the token in %s", path)
		found = append(found, string(text))
	}
	for _, path := range ev.Targets.Tokens {
		look(path)
	}
	for _, pid := range pids() {
		for _, leads := range []string{"root", "cwd", "task/" + pid + "/root"} {
			look("/proc/" + pid + "/" + leads + file)
		}
		for _, file := range []string{"environ", "cmdline"} {
			if text, err := os.ReadFile("/proc/" + pid + "/" + file); err == nil && strings.Contains(string(text), own) {
				f.gained("the token is in %s of process %s", file, pid)
			}
		}
	}
	open, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range open {
		if target, err := os.Readlink(path); err == nil && strings.Contains(target, filepath.Base(file)) {
			look(path)
		}
	}
	// Its own address is everybody's, and leads to its own; so may others of lo.
	doors := append(ev.Targets.Doors, "127.0.0.1:9002", "localhost:9002", "127.0.0.2:9002", "0.0.0.0:9002", "[::1]:9002", "[::ffff:127.0.0.1]:9002",
		gust.Resolver+":9002", "169.254.170.2:80", "169.254.170.23:80")
	for _, addr := range doors {
		visit(addr, own)
		for _, token := range found {
			visit(addr, token)
		}
	}
	sockets, _ := os.ReadFile("/proc/net/unix")
	for line := range strings.Lines(string(sockets)) {
		if _, name, ok := strings.Cut(strings.TrimSpace(line), " @"); ok && strings.Contains(name, "gust") && name != ev.Targets.Abstract {
			f.gained("sees the socket @%s", name)
		}
	}
	f.refused("/proc/net/unix has no other socket")

	f.try("open its token to write", try(os.OpenFile(file, os.O_WRONLY, 0)))
	f.try("make its token empty", os.Truncate(file, int64(len(own))))
	f.try("permit everybody its token", os.Chmod(file, 0o644))
	f.try("own its token", os.Chown(file, os.Getuid(), os.Getgid()))
	f.try("rename its token", os.Rename(file, file+"-"))
	f.try("put something beside its token", try(os.Create(filepath.Join(filepath.Dir(file), "other"))))
	f.try("link to its token", os.Link(file, "/dev/shm/token"))
	f.try("mount over its token", unix.Mount("/dev/null", file, "", unix.MS_BIND, ""))
	f.try("unmount its token", unix.Unmount(file, unix.MNT_DETACH))
	if text, err := os.ReadFile(file); err != nil || string(text) != own {
		f.gained("its token has changed")
	}
}
