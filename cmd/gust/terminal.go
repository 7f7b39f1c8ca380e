package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// terminal is where a command prints: a screen, or a file or pipe, which gets
// no colours and no moving lines.
type terminal struct {
	io.Writer
	screen bool
	width  int
	colour bool
}

func newTerminal(w io.Writer) *terminal {
	t := &terminal{Writer: w, width: 80}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.screen = os.Getenv("TERM") != "dumb"
		t.colour = t.screen && os.Getenv("NO_COLOR") == ""
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			t.width = width
		}
	}
	return t
}

// The colours are the terminal's own (ECMA-48 SGR), so that they fit its theme.
type colour string

const (
	plain  colour = ""
	bold   colour = "1"
	dim    colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

func (t *terminal) paint(c colour, s string) string {
	if !t.colour || c == plain {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// table prints rows in columns, the first one as their heads. What is in a cell
// must not be painted: the columns would not fit, and it is made printable.
func (t *terminal) table(rows [][]string) error {
	var b strings.Builder
	if err := inColumns(&b, rows); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		line = strings.TrimRight(line, " ")
		if i == 0 {
			line = t.paint(bold, line)
		}
		if _, err := fmt.Fprintln(t, line); err != nil {
			return err
		}
	}
	return nil
}

// columns prints rows that have no heads, as table does.
func (t *terminal) columns(rows [][]string) error { return inColumns(t, rows) }

func inColumns(to io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = strings.ReplaceAll(printable(cell), "\t", " ")
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// patience is how long something may take without a word about it.
const patience = time.Second

// progress says what is being done, once it takes longer than a second: on a
// screen in one line that moves, else in a line for each thing.
type progress struct {
	t       *terminal
	mu      sync.Mutex
	tasks   map[string]*task
	drawn   bool
	quit    chan struct{}
	stopped chan struct{}
}

type task struct {
	text  string
	since time.Time
	said  string
}

// working starts to watch; stop ends it and leaves nothing on the screen.
func (t *terminal) working() *progress {
	p := &progress{t: t, tasks: make(map[string]*task), quit: make(chan struct{}), stopped: make(chan struct{})}
	go p.run()
	return p
}

// does says what is being done about key; an empty text ends it, and the screen
// is free for what is printed next.
func (p *progress) does(key, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text == "" {
		delete(p.tasks, key)
		p.clear()
		return
	}
	if k := p.tasks[key]; k != nil {
		k.text = text
		return
	}
	p.tasks[key] = &task{text: text, since: time.Now()}
}

func (p *progress) stop() {
	close(p.quit)
	<-p.stopped
}

func (p *progress) run() {
	defer close(p.stopped)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			p.show(now)
		case <-p.quit:
			p.mu.Lock()
			p.clear()
			p.mu.Unlock()
			return
		}
	}
}

func (p *progress) show(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var late []string
	for _, key := range slices.Sorted(maps.Keys(p.tasks)) {
		k := p.tasks[key]
		took := now.Sub(k.since)
		if took < patience {
			continue
		}
		if !p.t.screen {
			if k.said != k.text {
				k.said = k.text
				fmt.Fprintln(p.t, k.text+" ...")
			}
			continue
		}
		late = append(late, fmt.Sprintf("%s (%ds)", k.text, int(took.Seconds())))
	}
	p.clear()
	if len(late) > 0 {
		line := []rune(strings.Join(late, ", "))
		if len(line) >= p.t.width {
			line = append(line[:max(0, p.t.width-4)], []rune("...")...)
		}
		fmt.Fprint(p.t, p.t.paint(dim, string(line)))
		p.drawn = true
	}
}

func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.t, "\r\x1b[K")
		p.drawn = false
	}
}
