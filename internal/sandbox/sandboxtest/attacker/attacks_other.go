//go:build !linux

package main

import (
	"os"

	"github.com/gust-dev/gust/internal/sandbox/sandboxtest/wire"
)

type descriptor struct{}

func openDescriptors() []descriptor { return nil }

// attacks has nothing where there is no sandbox to attack.
func attacks() map[string]func(*findings, wire.Event) { return nil }

func child([]string) int { return 64 }

// dieBySignal ends the program as a wild pointer would.
func dieBySignal() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		p.Kill()
	}
	forever()
}

// bind has nothing to wait for.
func bind() {}

func churn(inv *invocation)   { inv.answer("churning") }
func stopped(inv *invocation) { inv.answer("stopped") }
