// Command hello is a function that answers each event with "hello", speaking
// the Runtime API over one connection with as little as possible around it. It
// is what cold starts are measured with: its own start costs next to nothing. As
// an interpreter it waits to be told its environment, as package runtimes says.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getenv("GUST_BOOT") != "" {
		wait(os.NewFile(3, "node"))
	}
	if os.Getenv("SHOW") != "" {
		show()
	}
	host := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	if host == "" { // a bare exec, to compare with
		fmt.Println("hello")
		return
	}
	conn, err := net.Dial("tcp", host)
	if err != nil {
		panic(err)
	}
	r := bufio.NewReader(conn)
	for {
		fmt.Fprintf(conn, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		id := answer(r).Get("Lambda-Runtime-Aws-Request-Id")
		fmt.Fprintf(conn, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\nContent-Length: 7\r\n\r\n\"hello\"", id, host)
		answer(r)
	}
}

// wait does what an interpreter does until it is a function's.
func wait(node *os.File) {
	switch strings.Join(os.Args[1:], " ") {
	case "exit":
		fmt.Println("leaving")
		os.Exit(3)
	case "print":
		fmt.Println("before")
	}
	node.Write([]byte("1"))
	doc, err := io.ReadAll(node)
	if err != nil || len(doc) == 0 {
		os.Exit(0)
	}
	node.Close()
	var told struct{ Env map[string]string }
	if err := json.Unmarshal(doc, &told); err != nil {
		panic(err)
	}
	os.Clearenv()
	for name, value := range told.Env {
		os.Setenv(name, value)
	}
	if err := os.Chdir("/var/task"); err != nil {
		panic(err)
	}
}

// show prints what a process can tell of its own state and of init's.
func show() {
	for _, path := range []string{"self/status", "1/status", "self/limits", "self/mountinfo", "self/cgroup", "self/uid_map", "self/gid_map",
		"self/setgroups", "self/oom_score_adj", "self/stat", "self/timens_offsets", "self/cmdline"} {
		text, err := os.ReadFile("/proc/" + path)
		fmt.Printf("= %s %v\n%s\n", path, err, text)
	}
	for _, dir := range []string{"/proc/self/fd", "/proc/self/ns", "/tmp", "/dev/shm", "/var/task", "/opt", "/proc"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			target, _ := os.Readlink(dir + "/" + e.Name())
			fmt.Printf("= %s/%s %s\n", dir, e.Name(), target)
		}
	}
	for _, path := range []string{"cwd", "root", "exe"} {
		target, err := os.Readlink("/proc/self/" + path)
		fmt.Printf("= %s %s %v\n", path, target, err)
	}
	for _, option := range []int{unix.PR_GET_DUMPABLE, unix.PR_GET_SECUREBITS, unix.PR_GET_TIMERSLACK, unix.PR_GET_KEEPCAPS} {
		n, err := unix.PrctlRetInt(option, 0, 0, 0, 0)
		fmt.Printf("= prctl %d %d %v\n", option, n, err)
	}
	var signal int32
	err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0, 0, 0)
	fmt.Printf("= death signal %d %v\n", signal, err)
	for _, path := range []string{"/new", "/etc/new", "/usr/new", "/dev/new", "/opt/new", "/var/task/new", "/proc/new", "/tmp/new", "/dev/shm/new"} {
		err := os.WriteFile(path, nil, 0o600)
		fmt.Printf("= write %v\n", err)
		os.Remove(path)
	}
	for _, variable := range os.Environ() {
		fmt.Printf("= variable %s\n", variable)
	}
	fmt.Printf("= init %v %v\n", unix.Kill(1, unix.SIGTERM), unix.Kill(1, 0))
}

func answer(r *bufio.Reader) http.Header {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		os.Exit(1)
	}
	io.Copy(io.Discard, resp.Body)
	return resp.Header
}
