package identity

import (
	"maps"

	"github.com/gust-dev/gust/internal/access/policy"
)

// DuplicateTags is what AWS says of tags whose keys are one.
const DuplicateTags = "Duplicate tag keys found. Please note that Tag keys are case insensitive."

// ReadTags are the tags of a request as a map; of tells a tag's key and value.
// Keys that differ in case alone are one, and ok tells that none is there twice.
func ReadTags[T any](list []T, of func(T) (key, value string)) (tags map[string]string, ok bool) {
	tags = make(map[string]string, len(list))
	seen := make(map[string]bool, len(list))
	for _, t := range list {
		key, value := of(t)
		if seen[policy.Lower(key)] {
			return nil, false
		}
		seen[policy.Lower(key)] = true
		tags[key] = value
	}
	return tags, true
}

// FindTag finds a tag without regard to the case of its key.
func FindTag(tags map[string]string, key string) (k, v string, ok bool) {
	if v, ok := tags[key]; ok {
		return key, v, true
	}
	for k, v := range tags {
		if policy.EqualFold(k, key) {
			return k, v, true
		}
	}
	return "", "", false
}

// mergeTags is base with over over it.
func mergeTags(base, over map[string]string) map[string]string {
	if len(over) == 0 {
		return base
	}
	tags := maps.Clone(over)
	for k, v := range base {
		if _, _, ok := FindTag(over, k); !ok {
			tags[k] = v
		}
	}
	return tags
}
