package output

import "golang.org/x/sys/unix"

// fionread asks a pipe how many bytes can be read without blocking.
const fionread = unix.TIOCINQ
