// Package conformance drives a real node, a gust process on a data folder of its
// own, with the clients that people use: the runtime libraries of Go, Rust, Java
// and Python, a runtime in C, the AWS SDKs and command line, HTTP clients and
// WebSockets. What they take for granted is what has to hold.
//
// It is a module of its own, so that none of these clients is a dependency of
// Gust. install.sh puts what the tests need into the cache folder of the
// checkout (.cache/conformance), at pinned versions.
package conformance
