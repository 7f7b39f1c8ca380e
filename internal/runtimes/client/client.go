// Package client holds Gust's runtime clients, which run between an interpreter
// and a handler.
package client

import "embed"

// Files are what a root has in /var/runtime.
//
//go:embed bootstrap.cjs bootstrap.py
var Files embed.FS
