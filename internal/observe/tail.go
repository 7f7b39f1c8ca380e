package observe

// MaxTail is how much of an invocation's log Captured returns, in bytes, as with
// Lambda's LogType=Tail.
const MaxTail = 4 << 10

// tail keeps the last MaxTail bytes of what is added.
type tail struct{ buf []byte }

// trim makes room; it moves little, since it waits until twice the size is full.
func (t *tail) trim() {
	if over := len(t.buf) - MaxTail; over > 0 && len(t.buf) >= 2*MaxTail {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
	}
}

func (t *tail) line(line []byte) {
	if over := len(line) - MaxTail; over > 0 {
		line = line[over:]
	}
	t.buf = append(append(t.buf, line...), '\n')
	t.trim()
}

func (t *tail) bytes() []byte { return t.buf[max(len(t.buf)-MaxTail, 0):] }
