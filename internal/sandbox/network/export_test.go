//go:build linux

package network

import "time"

// ForgetAfter makes what names open last for d at least, and no grace.
func (n *Network) ForgetAfter(d time.Duration) { n.minPin, n.pinGrace = d, 0 }
