package identity

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/policy"
)

// Device names a device by its serial number.
func Device(serial string) Ref { return Ref{KindDevice, serial} }

// MFADevice is an app that shows a code of six digits, another one every 30
// seconds. What the directory gives out is shared and never changed.
type MFADevice struct {
	Name    string            `json:"name"`
	Path    string            `json:"path"`
	Serial  string            `json:"-"` // its ARN
	Created time.Time         `json:"created"`
	Tags    map[string]string `json:"tags,omitempty"`
	// Sealed is its seed, under a key derived from the node's seal key.
	Sealed []byte `json:"sealed"`
	// User is the ID of the user whose it is since Enabled, or empty.
	User    string    `json:"user,omitempty"`
	Enabled time.Time `json:"enabled,omitzero"`
	// Ahead is by how many steps its clock is ahead of the node's.
	Ahead int64 `json:"ahead,omitempty"`
	// Last is the time step of the last code that was taken. No code of it, or
	// of one before, is taken again.
	Last int64 `json:"last,omitempty"`

	seed seed // nil if it was sealed under another seal key
}

func (m *MFADevice) key() string    { return policy.Lower(m.Name) }
func (m *MFADevice) record() string { return "device/" + m.key() }

// FactorError: a second factor is not shown. (AWS: InvalidAuthenticationCode, and
// in STS AccessDenied.)
type FactorError struct {
	Serial string
	Fault  FactorFault
}

// FactorFault is what is wrong with a second factor.
type FactorFault string

const (
	FactorUnknown FactorFault = "is not there, or not the caller's, or was sealed under another seal key"
	FactorWrong   FactorFault = "does not show that code now, or it was used before"
	FactorGuessed FactorFault = "was sent 5 wrong codes, and takes another one in a minute"
)

func (e *FactorError) Error() string {
	return fmt.Sprintf("the MFA device %q %s", cut(e.Serial), e.Fault)
}
func (e *FactorError) Unwrap() error { return gust.ErrInvalid }

// How many wrong codes may be sent for a device: wrongAtOnce, and then one more
// each wrongEvery. Of a million codes three are right at a time, so who has a
// user's key and guesses needs months.
const (
	wrongAtOnce = 5
	wrongEvery  = time.Minute
)

// guesses is how many wrong codes a device may still be sent. They are in memory:
// a restart, which nobody brings about by guessing, gives wrongAtOnce more.
type guesses struct {
	left float64
	at   time.Time
}

// CreateMFADevice makes a device that is nobody's yet, and returns its seed this
// once, in base32.
func (d *Directory) CreateMFADevice(ctx context.Context, name, path string, tags map[string]string) (m *MFADevice, seed string, err error) {
	path = cmp.Or(path, "/")
	m = &MFADevice{Name: name, Path: path, Serial: iamARN(d.place, KindDevice, path, name), Tags: maps.Clone(tags), seed: newSeed()}
	if err := checkName("MFA device", name, MaxSerial); err != nil {
		return nil, "", err
	}
	if err := checkPath(path); err != nil {
		return nil, "", err
	}
	if n := len(m.Serial); n > MaxSerial {
		return nil, "", invalid("the serial number of MFA device %s, with its path, has %d characters, at most %d are allowed", cut(name), n, MaxSerial)
	}
	if err := checkTags(tags); err != nil {
		return nil, "", err
	}
	err = d.change(ctx, func(c *change) error {
		if c.devices[m.key()] != nil {
			return &ExistsError{KindDevice, name}
		}
		if len(c.devices) >= MaxUsers {
			return &LimitError{Quota: QuotaDevices, What: "MFA devices", Limit: MaxUsers}
		}
		m.Created = c.now
		m.Sealed = d.seal.seed.Seal(nil, nil, m.seed, []byte(m.Serial))
		return c.putDevice(m)
	})
	if err != nil {
		return nil, "", err
	}
	return m, m.seed.String(), nil
}

// EnableMFADevice makes a device that is nobody's a user's, who shows by two codes
// that follow each other to have it.
func (d *Directory) EnableMFADevice(ctx context.Context, user, serial, first, second string) error {
	return d.editDevice(ctx, serial, func(c *change, m *MFADevice) error {
		e, err := c.own(User(user))
		if err != nil {
			return err
		}
		if m.User != "" {
			return &ExistsError{KindDeviceUser, m.Serial}
		}
		if len(c.devicesOf(e)) >= MaxDevicesPerUser {
			return &LimitError{Quota: QuotaUserDevices, What: "MFA devices of user " + e.Name, Limit: MaxDevicesPerUser}
		}
		m.User, m.Enabled = e.ID, c.now
		return c.synchronize(m, first, second)
	})
}

// ResyncMFADevice learns from two codes that follow each other by how much the
// clock of a user's device is off.
func (d *Directory) ResyncMFADevice(ctx context.Context, user, serial, first, second string) error {
	return d.editDevice(ctx, serial, func(c *change, m *MFADevice) error {
		if err := c.isOf(m, user); err != nil {
			return err
		}
		return c.synchronize(m, first, second)
	})
}

// DeactivateMFADevice takes a device from its user. Sessions that it was shown
// for go on, as with AWS: revoke them.
func (d *Directory) DeactivateMFADevice(ctx context.Context, user, serial string) error {
	return d.editDevice(ctx, serial, func(c *change, m *MFADevice) error {
		if err := c.isOf(m, user); err != nil {
			return err
		}
		m.User, m.Enabled = "", time.Time{}
		return nil
	})
}

// DeleteMFADevice removes a device that is nobody's.
func (d *Directory) DeleteMFADevice(ctx context.Context, serial string) error {
	return d.change(ctx, func(c *change) error {
		m, err := c.device(serial)
		if err != nil {
			return err
		}
		if m.User != "" {
			return &InUseError{KindDevice, m.Name, KindUser, "it is a user's: deactivate it first"}
		}
		delete(c.devices, m.key())
		delete(d.guesses, m.key())
		c.delete(m.record())
		return nil
	})
}

// MFADevice finds a device.
func (d *Directory) MFADevice(serial string) (*MFADevice, error) {
	return d.state.Load().device(serial)
}

// MFADevices lists all devices, and with each the user whose it is, or nil, by
// serial number.
func (d *Directory) MFADevices() (list []*MFADevice, users []*Entity) {
	st := d.state.Load()
	list = slices.SortedFunc(maps.Values(st.devices), bySerial)
	for _, m := range list {
		users = append(users, st.byID[m.User])
	}
	return list, users
}

// MFADevicesOf lists a user's devices, by serial number.
func (d *Directory) MFADevicesOf(user string) ([]*MFADevice, error) {
	st := d.state.Load()
	e := st.entities[User(user).key()]
	if e == nil {
		return nil, missing(KindUser, user)
	}
	return st.devicesOf(e), nil
}

func bySerial(a, b *MFADevice) int { return strings.Compare(a.Serial, b.Serial) }

// ShowFactor takes a code of one of the caller's own devices, which is good once,
// and returns the caller as one who has shown a second factor now.
func (d *Directory) ShowFactor(ctx context.Context, caller *access.Caller, serial, code string) (*access.Caller, error) {
	p := *caller.Principal
	err := d.change(ctx, func(c *change) error {
		m, err := c.device(serial)
		if err != nil || p.Kind != access.KindUser || m.User != p.ID || m.seed == nil {
			return &FactorError{serial, FactorUnknown}
		}
		m = m.copied()
		if err := c.guess(m, func() (step int64, found bool) { return m.seed.find(code, stepOf(c.now)+m.Ahead) }); err != nil {
			return err
		}
		p.Factor = c.now
		return c.putDevice(m)
	})
	if err != nil {
		return nil, err
	}
	shown, credential := *caller, *caller.Credential
	credential.Principal, shown.Credential = &p, &credential
	return &shown, nil
}

// guess takes what find finds as the step of the last code of m, a copy, unless
// nothing is found, or a step of which a code was taken before.
func (c *change) guess(m *MFADevice, find func() (step int64, found bool)) error {
	g := c.d.guesses[m.key()]
	if g == nil {
		g = &guesses{wrongAtOnce, c.now}
		c.d.guesses[m.key()] = g
	}
	g.left, g.at = min(wrongAtOnce, g.left+max(0, c.now.Sub(g.at).Minutes())/wrongEvery.Minutes()), c.now
	if g.left < 1 {
		return &FactorError{m.Serial, FactorGuessed}
	}
	step, found := find()
	if !found || step <= m.Last {
		g.left--
		return &FactorError{m.Serial, FactorWrong}
	}
	m.Last = step
	return nil
}

// synchronize takes two codes that follow each other, and learns from them how
// m's clock is off.
func (c *change) synchronize(m *MFADevice, first, second string) error {
	if m.seed == nil {
		return &FactorError{m.Serial, FactorUnknown}
	}
	at := stepOf(c.now)
	if err := c.guess(m, func() (int64, bool) {
		step, found := m.seed.findPair(first, second, at)
		return step, found && step-1 > m.Last // both are good once
	}); err != nil {
		return err
	}
	m.Ahead = m.Last - at
	if m.Ahead < 0 {
		m.Ahead++ // codes grow old while they are typed
	}
	return nil
}

// isOf refuses a device that is not the user's.
func (c *change) isOf(m *MFADevice, user string) error {
	e, err := c.own(User(user))
	if err != nil {
		return err
	}
	if m.User != e.ID {
		return &NotFoundError{Kind: KindDevice, What: "MFA device of user " + e.Name, Name: m.Serial}
	}
	return nil
}

// device finds a device by exactly its serial number.
func (st *state) device(serial string) (*MFADevice, error) {
	m := st.devices[policy.Lower(serial[strings.LastIndexByte(serial, '/')+1:])]
	if m == nil || m.Serial != serial {
		return nil, &NotFoundError{Kind: KindDevice, What: "MFA device", Name: serial}
	}
	return m, nil
}

func (st *state) devicesOf(e *Entity) []*MFADevice {
	var list []*MFADevice
	for _, m := range st.devices {
		if m.User == e.ID {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, bySerial)
	return list
}

func (m *MFADevice) copied() *MFADevice {
	c := *m
	c.Tags = maps.Clone(m.Tags)
	return &c
}

func (d *Directory) editDevice(ctx context.Context, serial string, fn func(*change, *MFADevice) error) error {
	return d.change(ctx, func(c *change) error {
		m, err := c.device(serial)
		if err != nil {
			return err
		}
		m = m.copied()
		if err := fn(c, m); err != nil {
			return err
		}
		return c.putDevice(m)
	})
}

// putDevice makes m, a copy that nobody else has, what is known by its name.
func (c *change) putDevice(m *MFADevice) error {
	c.devices[m.key()] = m
	return c.write(m.record(), m)
}

// readDevice takes a device's record into st. A seed that does not open was
// sealed under another key, or is damaged: the device shows nothing any more, and
// the rest goes on.
func (d *Directory) readDevice(st *state, key string, value []byte) error {
	m := new(MFADevice)
	if err := decode(value, m); err != nil {
		return err
	}
	if key != m.record() || m.Path == "" || len(m.Sealed) == 0 || (m.User == "") != m.Enabled.IsZero() {
		return errRecord
	}
	m.Serial = iamARN(d.place, KindDevice, m.Path, m.Name)
	var err error
	if m.seed, err = d.seal.seed.Open(nil, nil, m.Sealed, []byte(m.Serial)); err != nil {
		d.log.Error("an MFA device cannot be opened, and its codes are refused: it was sealed under another seal key than this node has, or is damaged; "+
			"bring the seal key back, or deactivate and delete the device and make another one", "device", m.Serial, "user", m.User)
	}
	st.devices[m.key()] = m
	return nil
}
