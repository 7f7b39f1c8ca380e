//go:build linux

package process

import _ "embed"

// starterImage is starter/start.c, compiled by starter/build.sh.
//
//go:embed starter/starter_arm64.bin
var starterImage []byte
