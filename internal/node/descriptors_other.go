//go:build !unix

package node

// descriptors is how many this process may have open: Windows has no limit that
// a node comes near to.
func descriptors() int { return 0 }
