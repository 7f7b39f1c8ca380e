//go:build unix && !linux

package output

// fionread asks a pipe how many bytes can be read without blocking: the BSDs'
// and macOS's _IOR('f', 127, int), which x/sys/unix does not name.
const fionread = 0x4004667f
