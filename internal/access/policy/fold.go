package policy

// Lower is s with its ASCII letters in lower case. It is the one way in which
// case does not count: for actions, condition keys, the keys of tags, names, and
// the operators that ignore case. Unicode knows further letters that become
// ASCII ones (the long s, the Kelvin sign): to whoever took them for the same,
// one tag would be another than the policy meant.
func Lower(s string) string {
	for i := range len(s) {
		if s[i] != lower(s[i]) {
			b := []byte(s)
			for ; i < len(b); i++ {
				b[i] = lower(b[i])
			}
			return string(b)
		}
	}
	return s
}

// EqualFold tells whether a and b are alike but for the case of ASCII letters.
func EqualFold(a, b string) bool { return len(a) == len(b) && equalFold(a, b) }
