package identity

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access/policy"
)

// AWS's quotas ("IAM and AWS STS quotas" in the IAM User Guide). Of those that
// AWS raises when it is asked, what it raises them to.
const (
	MaxUsers          = 5000
	MaxGroups         = 500
	MaxRoles          = 5000
	MaxPolicies       = 5000 // managed by customers
	MaxProviders      = 100
	MaxResources      = 20_000 // policies of resources; AWS has none for them together
	MaxKeysPerUser    = 2
	MaxDevicesPerUser = 8   // of MFA; of all there may be as many as users
	MaxSerial         = 256 // characters of a device's serial number
	MaxGroupsPerUser  = 10
	MaxAttached       = 10
	MaxVersions       = 5
	MaxTags           = 50
	MaxClientIDs      = 100
	MaxThumbprints    = 5
	MaxName           = 64  // of users and roles
	MaxLongName       = 128 // of groups and policies
	MaxPath           = 512
	MaxDescription    = 1000
	MaxUserInline     = 2048 // characters of all inline policies of a user, white space not counted
	MaxGroupInline    = 5120
	MaxRoleInline     = 10240
	MaxManaged        = 6144
	MaxTrust          = 4096
	MaxResourcePolicy = 20480
	MaxSessionPolicy  = 2048
	// MaxPacked bounds a session's policies and tags together, in bytes.
	MaxPacked = 4096

	MinSession        = 15 * time.Minute
	DefaultSession    = time.Hour // of roles, and of the root key
	MinMaxSession     = time.Hour // of a role's MaxSession
	MaxSession        = 12 * time.Hour
	MaxChained        = time.Hour // of a role assumed from a role's session
	DefaultUserToken  = 12 * time.Hour
	MaxUserToken      = 36 * time.Hour
	MaxRootToken      = time.Hour
	MinFunctionToken  = time.Minute
	MaxFunctionToken  = 12 * time.Hour
	maxTagKey         = 128
	maxTagValue       = 256
	functionPrefix    = "fn."
	functionPath      = "/gust/"
	maxSourceIdentity = 64
)

// Quota is the name that AWS has for a limit; it is empty where AWS has none.
type Quota string

const (
	QuotaPolicies    Quota = "PoliciesPerAccount"
	QuotaProviders   Quota = "OpenIdConnectProvidersPerAccount"
	QuotaKeys        Quota = "AccessKeysPerUser"
	QuotaDevices     Quota = "VirtualMFADevicesPerAccount"
	QuotaUserDevices Quota = "MFADevicesPerUser"
	QuotaMemberships Quota = "GroupsPerUser"
	QuotaVersions    Quota = "VersionsPerPolicy"
	QuotaManaged     Quota = "PolicySize"
	QuotaInline      Quota = "InlinePolicySize"
	QuotaTrust       Quota = "ACLSizePerRole"
	QuotaClientIDs   Quota = "ClientIdsPerOpenIdConnectProvider"
	QuotaThumbprints Quota = "ThumbprintsPerOpenIdConnectProvider"
)

// quotas are those of a kind: how many there may be, and how many managed
// policies one may have.
var quotas = map[Kind]struct{ account, attached Quota }{
	KindUser: {"UsersPerAccount", "PoliciesPerUser"}, KindGroup: {"GroupsPerAccount", "PoliciesPerGroup"}, KindRole: {"RolesPerAccount", "PoliciesPerRole"},
}

// nameRules are what a name of a kind may be.
func checkName(what, name string, limit int) error {
	switch {
	case name == "":
		return invalid("the %s has no name: want 1 to %d characters", what, limit)
	case len(name) > limit:
		return invalid("the name of %s %q has %d characters, at most %d are allowed", what, cut(name), len(name), limit)
	case !only(name, "+=,.@_-"):
		return invalid("the name of %s %q may have letters, digits and + = , . @ _ - alone", what, name)
	case strings.Trim(name, ".") == "":
		return invalid("the name of %s %q is dots alone, which is a path and no name", what, name)
	}
	return nil
}

// checkOwnName is checkName for users, groups and roles, of which some names
// belong to functions.
func checkOwnName(kind Kind, name, path string) error {
	limit := MaxName
	if kind == KindGroup {
		limit = MaxLongName
	}
	if err := checkName(string(kind), name, limit); err != nil {
		return err
	}
	if isFunctionRole(name) {
		return invalid("the name of %s %q begins with %q, which only the roles of functions do: choose another one", kind, name, functionPrefix)
	}
	if kind == KindRole && strings.HasPrefix(policy.Lower(path), linkedPath) {
		return invalid("the path %q is that of roles that are linked to a service: choose another one", cut(path))
	}
	return checkPath(path)
}

// isFunctionRole tells whether a role of the name would be a function's own.
func isFunctionRole(name string) bool {
	return len(name) >= len(functionPrefix) && policy.EqualFold(name[:len(functionPrefix)], functionPrefix)
}

// checkPath refuses, beside what AWS does, what would mean something else to a
// reader of paths or to a policy: empty segments and dots, wildcards, variables.
func checkPath(path string) error {
	switch {
	case len(path) > MaxPath:
		return invalid("the path %q has %d characters, at most %d are allowed", cut(path), len(path), MaxPath)
	case !strings.HasPrefix(path, "/") || !strings.HasSuffix(path, "/"):
		return invalid("the path %q has to begin and to end with a slash, as / and /team/blue/ do", cut(path))
	case path == "/":
		return nil
	case strings.HasPrefix(policy.Lower(path), functionPath):
		return invalid("the path %q is that of functions' roles: choose another one", cut(path))
	}
	for _, segment := range strings.Split(path[1:len(path)-1], "/") {
		if strings.Trim(segment, ".") == "" || !only(segment, "+=,.@_-!~") {
			return invalid("the path %q: between its slashes it may have letters, digits and + = , . @ _ - ! ~ alone, and not dots alone", cut(path))
		}
	}
	return nil
}

// only tells whether s is of ASCII letters, digits and others.
func only(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte(others, c) >= 0 {
			continue
		}
		return false
	}
	return true
}

// checkSessionName is for names of sessions and source identities.
func checkSessionName(what, name string) error {
	if len(name) < 2 || len(name) > maxSourceIdentity || !only(name, "+=,.@_-") {
		return invalid("the %s %q: want 2 to %d letters, digits and + = , . @ _ -", what, cut(name), maxSourceIdentity)
	}
	return nil
}

// checkTags are AWS's rules. Keys that differ in case alone are one key.
func checkTags(tags map[string]string) error {
	folded := make(map[string]string, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		v := tags[k]
		if n := utf8.RuneCountInString(k); n < 1 || n > maxTagKey {
			return invalid("the tag key %q has %d characters: want 1 to %d", cut(k), n, maxTagKey)
		}
		if n := utf8.RuneCountInString(v); n > maxTagValue {
			return invalid("the value of tag %q has %d characters, at most %d are allowed", k, n, maxTagValue)
		}
		for _, s := range []string{k, v} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
				return !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r)
			}) {
				return invalid("the tag %q may have letters, digits, spaces and _ . : / = + - @ alone", cut(k))
			}
		}
		if strings.HasPrefix(policy.Lower(k), "aws:") {
			return invalid("the tag key %q begins with aws:, which nobody may set", k)
		}
		if other, ok := folded[policy.Lower(k)]; ok {
			return invalid("the tag keys %q and %q are the same: their case does not count", other, k)
		}
		folded[policy.Lower(k)] = k
	}
	if len(tags) > MaxTags {
		return &LimitError{What: "tags", Limit: MaxTags}
	}
	return nil
}

var aliasForm = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)

func checkAlias(alias string) error {
	if !aliasForm.MatchString(alias) || len(alias) > 63 || len(alias) == 12 && strings.Trim(alias, "0123456789") == "" {
		return invalid("the account alias %q: want 3 to 63 lower-case letters, digits and single hyphens within, and not 12 digits", cut(alias))
	}
	return nil
}

// iamARN names one thing of the account.
func iamARN(place gust.Place, kind Kind, path, name string) string {
	return place.IAM(string(kind) + path + name)
}
