package scale

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// The pauses of a function, from the end of its last invocation to the next one,
// and what follows from them: the hybrid histogram policy of "Serverless in the
// Wild" (Shahrad et al., USENIX ATC 2020, section 4.2), with the differences that
// docs/SCALING.md names.
const (
	pauseBin  = time.Minute
	pauseBins = 240 // what is longer than 4 hours is far
	// enough is from how many pauses on anything is concluded.
	enough = 10
	// most is how many pauses weigh: at that, all counts are halved. So each
	// fits a byte, and what a function does now outweighs what it did.
	most = 255
	// head and tail are the percentiles of the pauses that start and end the
	// time in which the next use is expected; margin is what is added on both
	// sides, in percent.
	head, tail, margin = 5, 99, 10
	// spread is the least coefficient of variation of the counts, squared, at
	// which they say anything: the paper's 2. Below it they are too even.
	spread = 2 * 2
	// widest is the longest time in which the next use may be expected: keeping
	// an environment for longer, for one use, costs more memory than it is
	// worth. The paper has no such bound; bench/RESULTS.md has what it saves.
	widest = 90 * time.Minute
	// farKept are how many of the newest far pauses are kept. They tell when
	// the next use is to be expected if more than half of all pauses are far,
	// there are farEnough, and they are within farSpread of each other; farMargin
	// is added on both sides.
	farKept   = 6
	farEnough = 3
	farSpread = time.Hour
	farMargin = 5 * time.Minute
	// unload is how long an environment is kept when its function is not
	// expected to be used for longer than twice that: people try again, and
	// programs do.
	unload = 30 * time.Second
)

// window is when the next use of a function is expected, counted from the end
// of the last one. Nothing is known while keep is 0.
type window struct {
	ahead time.Duration // an environment is started; 0: the last one is kept till then
	keep  time.Duration // and kept until
}

// histogram is what is known of the pauses of one function. Its size is fixed,
// about 300 bytes.
type histogram struct {
	counts  [pauseBins]uint8
	total   int             // sum of counts
	squares int             // sum of their squares
	far     int             // pauses beyond the bins
	lately  []time.Duration // the newest of those, the oldest first, at most farKept
	odd     bool            // which halves are rounded up next
	window  window          // what follows from all that
	dirty   bool            // changed since it was last encoded
}

// observe adds a pause.
func (h *histogram) observe(pause time.Duration) {
	h.dirty = true
	if bin := int(max(pause, 0) / pauseBin); bin < pauseBins {
		h.add(bin, 1)
	} else {
		h.far++
		if len(h.lately) == farKept {
			h.lately = slices.Delete(h.lately, 0, 1)
		}
		h.lately = append(h.lately, pause)
	}
	if h.total+h.far >= most {
		h.halve()
	}
	h.window = h.expect()
}

func (h *histogram) add(bin int, n uint8) {
	c := int(h.counts[bin])
	h.counts[bin] += n
	h.total += int(n)
	h.squares += (c+int(n))*(c+int(n)) - c*c
}

// halve lets old pauses weigh less. Odd counts are rounded up and down in turn,
// so that rare pauses fade like others, instead of at once or never.
func (h *histogram) halve() {
	h.total, h.squares = 0, 0
	for i, c := range h.counts {
		h.counts[i] = 0
		half := c / 2
		if c%2 == 1 {
			if h.odd = !h.odd; h.odd {
				half++
			}
		}
		h.add(i, half)
	}
	h.far /= 2
}

// expect says when the next use is to be expected.
func (h *histogram) expect() window {
	switch {
	case h.total+h.far < enough && h.far < farEnough:
		return window{}
	case h.far > h.total:
		return h.expectFar()
	case h.total < enough || h.squares*pauseBins < (spread+1)*h.total*h.total:
		return window{}
	}
	var w window
	sum, first := 0, -1
	for i, c := range h.counts {
		sum += int(c)
		if first < 0 && sum*100 >= head*h.total {
			first = i
		}
		if sum*100 >= tail*h.total {
			w.ahead = time.Duration(first) * pauseBin * (100 - margin) / 100
			w.keep = time.Duration(i+1) * pauseBin * (100 + margin) / 100
			break
		}
	}
	if w.keep-w.ahead > widest {
		return window{}
	}
	if w.ahead <= 2*unload {
		w.ahead = 0
	}
	return w
}

func (h *histogram) expectFar() window {
	if len(h.lately) < farEnough {
		return window{}
	}
	low, high := slices.Min(h.lately), slices.Max(h.lately)
	if high-low > farSpread {
		return window{}
	}
	return window{ahead: low - farMargin, keep: high + farMargin}
}

// encodingVersion is the first byte of what encode writes.
const encodingVersion = 1

// encode appends the histogram, and when its function was last in use (zero: it
// is). What is read by another version, or damaged, is forgotten: see decode.
func (h *histogram) encode(b []byte, rested time.Time) []byte {
	b = append(b, encodingVersion)
	unix := int64(0)
	if !rested.IsZero() {
		unix = rested.Unix()
	}
	b = binary.AppendVarint(b, unix)
	b = binary.AppendUvarint(b, uint64(h.far))
	b = append(b, byte(len(h.lately)))
	for _, d := range h.lately {
		b = binary.AppendUvarint(b, uint64(d/time.Second))
	}
	for i, c := range h.counts {
		if c > 0 {
			b = append(b, byte(i), c)
		}
	}
	return b
}

const maxPause = uint64(100 * 365 * 24 * time.Hour / time.Second)

var errNotPauses = errors.New("not what this version of gust keeps of pauses")

// decode reads what encode wrote.
func decodeHistogram(b []byte) (h *histogram, rested time.Time, err error) {
	if len(b) == 0 || b[0] != encodingVersion {
		return nil, rested, errNotPauses
	}
	b = b[1:]
	bad := false
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad = true
			return 0
		}
		b = b[n:]
		return v
	}
	unix, n := binary.Varint(b)
	if n <= 0 {
		return nil, rested, errNotPauses
	}
	b = b[n:]
	h = &histogram{}
	far, count := number(), number()
	if far > most || count > farKept {
		return nil, rested, errNotPauses
	}
	h.far = int(far)
	for range count {
		seconds := number()
		if seconds < uint64(pauseBins*pauseBin/time.Second) || seconds > maxPause {
			return nil, rested, errNotPauses
		}
		h.lately = append(h.lately, time.Duration(seconds)*time.Second)
	}
	if bad || len(b)%2 != 0 {
		return nil, rested, errNotPauses
	}
	for next := 0; len(b) > 0; b = b[2:] {
		if int(b[0]) < next || b[0] >= pauseBins || b[1] == 0 {
			return nil, rested, errNotPauses
		}
		h.add(int(b[0]), b[1])
		next = int(b[0]) + 1
	}
	if h.total+h.far > most {
		return nil, rested, errNotPauses
	}
	if unix != 0 {
		rested = time.Unix(unix, 0)
	}
	h.window = h.expect()
	return h, rested, nil
}
