// Command fakenode answers what Gust asks a Node.js. Its version is what stands
// behind the last newline of its file.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	self, err := os.ReadFile(os.Args[0])
	if err != nil || len(os.Args) != 3 || os.Args[1] != "-p" {
		os.Exit(1)
	}
	version := self[bytes.LastIndexByte(self, '\n')+1:]
	if os.Args[2] == "process.versions.node" {
		fmt.Printf("%s\n", version)
		return
	}
	program, err := filepath.EvalSymlinks(os.Args[0])
	if err != nil {
		os.Exit(1)
	}
	fmt.Printf("{\"program\": %q, \"version\": %q}\n", program, version)
}
