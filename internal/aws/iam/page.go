package iam

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/gust-dev/gust/internal/aws/wire"
)

// defaultPage is how many a list's answer has when the request does not say.
const defaultPage = 100

// page is the part of a list that a request asks for, whether there is more, and
// the marker of what follows. The list is in the order of its keys. A marker is
// the last key of the page before, so that a list which changes meanwhile is
// gone through without repeating or leaving out what did not change.
func page[T any](list []T, key func(T) string, marker *string, limit *int32) (part []T, more *bool, next *string, err error) {
	if marker != nil {
		after, err := base64.RawURLEncoding.Strict().DecodeString(*marker)
		if err != nil {
			return nil, nil, nil, invalid("Invalid Marker.")
		}
		i, found := slices.BinarySearchFunc(list, string(after), func(e T, k string) int { return strings.Compare(key(e), k) })
		if found {
			i++
		}
		list = list[i:]
	}
	if n := int(wire.Or(limit, defaultPage)); len(list) > n {
		list = list[:n]
		next = new(base64.RawURLEncoding.EncodeToString([]byte(key(list[n-1]))))
	}
	return append([]T{}, list...), new(next != nil), next, nil // an empty list, not none
}

// pageInOrder is page for a short list whose order is its own.
func pageInOrder[T any](list []T, marker *string, limit *int32) (part []T, more *bool, next *string, err error) {
	from, until, more, next, err := window(len(list), marker, limit)
	return append([]T{}, list[from:until]...), more, next, err
}

// window is page by numbers: from is the first of count that a request asks for,
// until the one after the last.
func window(count int, marker *string, limit *int32) (from, until int, more *bool, next *string, err error) {
	if marker != nil {
		number, err := base64.RawURLEncoding.Strict().DecodeString(*marker)
		if err == nil {
			from, err = strconv.Atoi(string(number))
		}
		if err != nil || from < 0 {
			return 0, 0, nil, nil, invalid("Invalid Marker.")
		}
	}
	from = min(from, count)
	until = min(from+int(wire.Or(limit, defaultPage)), count)
	if until < count {
		next = new(base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(until))))
	}
	return from, until, new(next != nil), next, nil
}

func itself(s string) string { return s }
