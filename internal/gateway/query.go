package gateway

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// pair is one name and value of a query string.
type pair struct {
	name, value string
	next        int  // index of the next pair with this name, or 0
	follows     bool // a pair before it has the same name
}

// linear is how many pairs are compared each with each.
const linear = 16

// appendQuery appends the query string's parameters: names and values
// unescaped, values of the same name joined by commas. An escape that is none
// stays as it is. Without parameters it appends nothing.
func appendQuery(dst []byte, raw string, s *scratch) []byte {
	if raw == "" {
		return dst
	}
	pairs := s.pairs[:0]
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, pair{name: unescapeQuery(name), value: unescapeQuery(value)})
	}
	s.pairs = pairs
	if len(pairs) == 0 {
		return dst
	}
	chain(pairs)
	dst = append(dst, `,"queryStringParameters":{`...)
	for i := range pairs {
		p := &pairs[i]
		if p.follows {
			continue
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, p.name)
		dst = append(dst, ':', '"')
		dst = appendEscaped(dst, p.value)
		for p.next > 0 {
			p = &pairs[p.next]
			dst = append(dst, ',')
			dst = appendEscaped(dst, p.value)
		}
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// chain links the pairs of each name.
func chain(pairs []pair) {
	if len(pairs) <= linear {
		for i := range pairs {
			for j := i + 1; j < len(pairs); j++ {
				if pairs[j].name == pairs[i].name {
					pairs[i].next, pairs[j].follows = j, true
					break
				}
			}
		}
		return
	}
	last := make(map[string]int, len(pairs))
	for j := range pairs {
		if i, ok := last[pairs[j].name]; ok {
			pairs[i].next, pairs[j].follows = j, true
		}
		last[pairs[j].name] = j
	}
}

// unescapeQuery unescapes a part of a query string, and makes it UTF-8: two
// names that become the same text have to be seen as the same.
func unescapeQuery(s string) string {
	if strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0 {
		if plain, err := url.QueryUnescape(s); err == nil {
			s = plain
		}
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return s
}
