//go:build !linux

package sandboxtest

import "testing"

// machine: elsewhere only the functional part is run.
type machine struct{}

func (s *suite) observe(*testing.T) machine      { return machine{} }
func (s *suite) gone(*testing.T, *env)           {}
func (s *suite) processOf(*env) int              { return 0 }
func (s *suite) processes(string) []string       { return nil }
func (s *suite) nothingLeft(*testing.T, machine) {}
func handle(*testing.T, string) ([]byte, int32)  { return make([]byte, 8), 1 }
func setFileCapabilities(*testing.T, string)     {}
func descriptors() int                           { return 0 }
func (s *suite) hostAffords(*testing.T, string)  {}
func (s *suite) userOf(*env) int                 { return -1 }
func (s *suite) networks(t *testing.T)           { t.Skip("networks are Linux's") }
