package gateway

import "sync"

// maxPooled is the largest buffer that is kept for the next request.
const maxPooled = 64 << 10

// scratch is the memory one request needs on its way, used again by others
// after it.
type scratch struct {
	segs, params []string
	pairs        []pair
	body         []byte // the request's body, then the response's
	fields       []field
	copy         []byte // what a stream is copied through
}

type scratches struct{ pool sync.Pool }

func (p *scratches) get() *scratch {
	if s, ok := p.pool.Get().(*scratch); ok {
		return s
	}
	return &scratch{segs: make([]string, 0, 16), params: make([]string, 0, 8), body: make([]byte, 0, 4<<10)}
}

// put takes s back and lets go of everything it points to.
func (p *scratches) put(s *scratch) {
	clear(s.segs[:cap(s.segs)])
	clear(s.params[:cap(s.params)])
	clear(s.pairs)
	clear(s.fields)
	s.segs, s.params, s.pairs, s.fields = s.segs[:0], s.params[:0], s.pairs[:0], s.fields[:0]
	if cap(s.body) > maxPooled {
		s.body = nil
	}
	s.body = s.body[:0]
	if cap(s.segs) <= 256 && cap(s.pairs) <= 256 && cap(s.fields) <= 256 {
		p.pool.Put(s)
	}
}
