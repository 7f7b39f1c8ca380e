package policy

import (
	"cmp"
	"hash/maphash"
	"math"
	"slices"
	"strings"
)

// index finds the statements of some documents that can be about a request: by
// the action, and by the literal beginning of each resource. It is compact, and
// what does not come into question is told without looking at it, so that asking
// somebody with a hundred statements touches a few places in memory.
type index struct {
	seed     maphash.Seed
	actions  map[string][]entry // lower case: "lambda:invokefunction"
	services map[string][]entry // actions with wildcards, by service
	anywhere []entry            // of every service: "*" and NotAction
}

// place is a statement: the number of its document, and its own.
type place uint32

const nowhere place = math.MaxUint32

func at(document, statement int) place { return place(document<<16 | statement) }

func (p place) document() int { return int(p >> 16) }

func (p place) statement() int { return int(p & 0xffff) }

// entry is one resource of a statement.
type entry struct {
	place
	hash   uint32
	length uint16 // of the text that a resource begins with
	whole  bool   // and ends with
}

// maxPairs bounds the entries of a statement, which are its actions times its
// resources. One with more is in question for every resource.
const maxPairs = 64

// add puts a document's statements in; sort has to follow the last one.
func (x *index) add(document int, statements []statement) {
	if x.actions == nil {
		*x = index{maphash.MakeSeed(), make(map[string][]entry), make(map[string][]entry), nil}
	}
	for i := range statements {
		s := &statements[i]
		entries := []entry{{place: at(document, i)}}
		if !s.notResources && len(s.actions)*len(s.resources) <= maxPairs && len(s.resources) > 0 {
			entries = entries[:0]
			for j := range s.resources {
				r := &s.resources[j]
				if s.redundant(j) {
					continue
				}
				e := entry{place: at(document, i), length: uint16(len(r.head)), whole: r.isExact()}
				if e.length > 0 {
					e.hash = x.hash(r.head)
				}
				entries = append(entries, e)
			}
		}
		// Once in each list: who visits it looks at all actions of the statement.
		once := func(list []entry) []entry {
			if n := len(list); n > 0 && list[n-1].place == at(document, i) {
				return list
			}
			return append(list, entries...)
		}
		if s.notActions {
			x.anywhere = once(x.anywhere)
			continue
		}
		for _, a := range s.actions {
			action := Lower(a.raw)
			service, name, _ := strings.Cut(action, ":")
			switch {
			case strings.HasPrefix(service, "*"):
				x.anywhere = once(x.anywhere)
			case strings.ContainsAny(name, "*?"):
				x.services[service] = once(x.services[service])
			default:
				x.actions[action] = once(x.actions[action])
			}
		}
	}
}

// redundant tells that another resource of the statement has the same beginning, or
// a shorter one, so that it is in question wherever that of number j is.
func (s *statement) redundant(j int) bool {
	own := &s.resources[j]
	return slices.ContainsFunc(s.resources, func(r pattern) bool {
		return !r.isExact() && len(r.head) < len(own.head) && strings.HasPrefix(own.head, r.head)
	}) || slices.ContainsFunc(s.resources[:j], func(r pattern) bool { return r.head == own.head && r.isExact() == own.isExact() }) ||
		own.isExact() && slices.ContainsFunc(s.resources, func(r pattern) bool { return r.head == own.head && !r.isExact() })
}

// sort puts each list in the order of lengths, and of hashes within a length.
func (x *index) sort() {
	order := func(a, b entry) int { return cmp.Or(cmp.Compare(a.length, b.length), cmp.Compare(a.hash, b.hash)) }
	slices.SortFunc(x.anywhere, order)
	for _, lists := range []map[string][]entry{x.services, x.actions} {
		for _, list := range lists {
			slices.SortFunc(list, order)
		}
	}
}

func (x *index) hash(s string) uint32 { return uint32(maphash.String(x.seed, s)) }

// visit calls each with the statements that are in question for an action, in
// lower case, and a resource; with some in up to three lists, and in no order.
func (x *index) visit(action []byte, resource string, each func(place)) {
	v := visitor{index: x, resource: resource}
	v.list(x.anywhere, each)
	if colon := slices.Index(action, ':'); colon >= 0 {
		v.list(x.services[string(action[:colon])], each)
		v.list(x.actions[string(action)], each)
	}
}

// visitor keeps the hashes of a resource's beginnings: most have few lengths.
type visitor struct {
	*index
	resource string
	lengths  [8]uint16
	hashes   [8]uint32
	n        int
}

// list goes from length to length: of those that a resource has, each needs one
// hash, and one search among the entries of that length.
func (v *visitor) list(entries []entry, each func(place)) {
	for len(entries) > 0 && int(entries[0].length) <= len(v.resource) {
		length := entries[0].length
		end := search(entries, func(e *entry) bool { return e.length > length })
		same := entries[:end]
		entries = entries[end:]
		hash := uint32(0) // as those have it that begin with nothing
		if length > 0 {
			hash = v.begins(length)
		}
		for _, e := range same[search(same, func(e *entry) bool { return e.hash >= hash }):] {
			if e.hash != hash {
				break
			}
			if !e.whole || int(length) == len(v.resource) {
				each(e.place)
			}
		}
	}
}

// search is the number of the first entry that is, of those that are sorted so
// that all after it are too.
func search(entries []entry, is func(*entry) bool) int {
	low, high := 0, len(entries)
	for low < high {
		if middle := (low + high) / 2; is(&entries[middle]) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

func (v *visitor) begins(length uint16) uint32 {
	for i := range v.n {
		if v.lengths[i] == length {
			return v.hashes[i]
		}
	}
	hash := v.hash(v.resource[:length])
	if v.n < len(v.lengths) {
		v.lengths[v.n], v.hashes[v.n] = length, hash
		v.n++
	}
	return hash
}
