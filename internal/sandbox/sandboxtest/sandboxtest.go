// Package sandboxtest is the suite that every sandbox backend passes: what an
// environment does for the program in it, and, attack by attack, what the
// program in it cannot do.
//
// The programs that run inside are one binary, built when the suite starts from
// the folder attacker; an event tells it how to behave or what to attack, and it
// answers what it managed to do. Every attack is run with a neighbour beside it,
// which has to answer afterwards, and after the whole suite nothing may be left
// of it on the machine: no process, mount, cgroup, loop device, file or
// descriptor.
//
// docs/THREAT-MODEL.md names these subtests as its evidence.
package sandboxtest

import (
	"testing"

	"github.com/gust-dev/gust/internal/sandbox"
)

// Capabilities is what a backend claims. What it does not claim is not asked of
// it, with two exceptions that no flag turns off: everything functional, and
// that nothing is left.
type Capabilities struct {
	// Isolation: the program is shut off from the host and its neighbours, and
	// the attacks are run. Without it those attacks that do no harm are run as
	// a control: they have to succeed, or they would show nothing elsewhere.
	Isolation bool
	// Memory, Processes, Ephemeral: Spec's limits of these names are enforced.
	Memory, Processes, Ephemeral bool
	// Freeze: frozen environments use no processor time.
	Freeze bool
	// Usage: memory and processor time are measured, children included.
	Usage bool
	// Detached: processes that the program detached from itself (setsid, double
	// fork) end with it.
	Detached bool
	// Network: Spec.Network is enforced, with the resolver of package networktest
	// as upstream, and 7080 for a port of the node's own. The suite has to be
	// run by networktest.Main.
	Network bool
	// Pool, if it is set, makes the suite's program an interpreter that is booted
	// ahead, and every environment of it one that was.
	Pool *Pool
	// Marks are words by which what belongs to this backend is recognised in
	// paths of cgroups, mounts and loop devices, beside the identifiers of the
	// suite's own environments.
	Marks []string
}

// Interpreter is where the root of a Pool has the suite's program.
const Interpreter = "/usr/bin/attacker"

// Pool is how a backend boots ahead.
type Pool struct {
	// Root makes a root that has program as Interpreter.
	Root func(t *testing.T, program string) string
	// Await announces a spec, and returns when an interpreter waits for it.
	Await func(t *testing.T, b sandbox.Backend, spec sandbox.Spec)
}

// Run runs the suite. newBackend is called more than once; each backend is
// closed by the suite.
func Run(t *testing.T, newBackend func(t *testing.T) sandbox.Backend, caps Capabilities) {
	s := newSuite(t, newBackend, caps)
	before := s.observe(t)
	t.Run("lifecycle", s.lifecycle)
	t.Run("invoke", s.invocations)
	t.Run("api", s.api)
	t.Run("output", s.output)
	t.Run("http", s.http)
	t.Run("limits", s.limits)
	t.Run("freeze", s.freeze)
	t.Run("attack", s.attack)
	t.Run("exhaust", s.exhaust)
	t.Run("network", s.networks)
	t.Run("pool", s.pool)
	t.Run("nothing-left", func(t *testing.T) { s.nothingLeft(t, before) })
}
