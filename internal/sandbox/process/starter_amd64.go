//go:build linux

package process

import (
	"debug/elf"
	_ "embed"
)

// starterImage is starter/start.c, compiled by starter/build.sh.
//
//go:embed starter/starter_amd64.bin
var starterImage []byte

// processor is what programs and libraries have to be for.
const processor = elf.EM_X86_64
