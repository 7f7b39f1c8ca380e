//go:build unix

package access

import (
	"io/fs"
	"syscall"
)

// ownerOf is the user that a file belongs to, where the system has such.
func ownerOf(info fs.FileInfo) (uid int, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
