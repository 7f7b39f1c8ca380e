package observe

// Abandon takes back a Begin whose invocation went elsewhere, because the
// environment had ended before its program saw it. The record of its start
// stays; it has no end.
func (s *Stream) Abandon(requestID string) {
	s.figures.running.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.one {
		s.ids = append(s.ids[:0], noIDs[:]...)
	} else {
		delete(s.traces, requestID)
	}
}
