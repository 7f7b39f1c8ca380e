package main

import "github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"

// foreignCalls: a 64-bit program of this processor has no other entry.
func foreignCalls(f *findings, _ wire.Event) {
	f.refused("this processor has no foreign system calls in a 64-bit program")
}

func foreignChild(string) int { return 64 }

func oldCalls(*findings) {}
