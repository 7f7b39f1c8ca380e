package scale

import "slices"

// fifo is a queue of tickets.
type fifo struct {
	items []*Ticket
	head  int
}

func (q *fifo) len() int { return len(q.items) - q.head }

func (q *fifo) push(t *Ticket) { q.items = append(q.items, t) }

func (q *fifo) peek() *Ticket {
	if q.len() == 0 {
		return nil
	}
	return q.items[q.head]
}

func (q *fifo) pop() *Ticket {
	t := q.peek()
	if t == nil {
		return nil
	}
	q.items[q.head] = nil
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head > 64 && q.head > len(q.items)/2:
		q.items = slices.Delete(q.items, 0, q.head)
		q.head = 0
	}
	return t
}

func (q *fifo) remove(t *Ticket) {
	if i := slices.Index(q.items[q.head:], t); i >= 0 {
		q.items = slices.Delete(q.items, q.head+i, q.head+i+1)
	}
}
