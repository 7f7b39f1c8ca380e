// Package identity is the directory of who there is and what they may do: users,
// groups, roles, access keys, policies, identity providers, the policies of
// resources, and sessions. It is durable; it is read from an immutable state
// behind one atomic pointer; what somebody may do is compiled when it changes,
// and a change counts for the next request, of running sessions too.
//
// DESIGN.md beside this file says how, and what is promised.
package identity

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gust "github.com/gust-dev/gust"
	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/access/policy"
	"github.com/gust-dev/gust/internal/store"
)

// partition holds all of the directory, a record each: "entity/ID",
// "key/ID", "policy/ID", "device/NAME", "provider/URL", "resource/ARN", "revoked/FUNCTION",
// "used/ID", "alias", "account" and "revision". Names are not in the keys, so
// that a renamed user is one record and not two.
const partition store.Partition = "identity"

const (
	keyRevision = "revision"
	keyAccount  = "account"
	keyAlias    = "alias"
)

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Options are a Directory's settings.
type Options struct {
	// Place is the namespace of the ARNs. Identities belong to its account.
	Place gust.Place
	// Root is the node's root key, which may do everything.
	Root *access.Key
	// Seal is the node's own secret: access keys are stored, and sessions'
	// tokens are sealed, under keys that are derived from it.
	Seal [32]byte
	// Functions are the declared ones, of which each has a role; nil is none.
	// It is asked at each use of such a role, and what it returns must not
	// change.
	Functions func() map[string]*gust.Function
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger gets what an operator should know; nil means slog.Default().
	Logger *slog.Logger
}

// Directory is who there is. It is safe for use by many goroutines.
type Directory struct {
	store       *store.Store
	place       gust.Place
	functionARN string // what functions' begin with
	functions   func() map[string]*gust.Function
	now         func() time.Time
	log         *slog.Logger
	seal        *seal
	root        *access.Credential
	rootOnly    *Entity  // what sessions of the root key are sessions of
	trustless   Document // the trust policy of roles that are not there

	writing sync.Mutex // one change at a time
	state   atomic.Pointer[state]
	guesses map[string]*guesses // at devices' codes, by name; for who holds writing
	roles   sync.Map            // function name -> *Entity
	opened  opened              // sessions
	usage   usage

	behind chan struct{} // has something if rights are left to be compiled
	close  sync.Once
	closed chan struct{}
	done   sync.WaitGroup
}

// state is the directory at one moment. It never changes, nor does anything that
// can be reached from it but for rights and documents that are not compiled yet.
type state struct {
	revision  uint64
	log       *slog.Logger
	account   string
	alias     string
	entities  map[Ref]*Entity
	byID      map[string]*Entity
	keys      map[string]*accessKey
	devices   map[string]*MFADevice        // by lower-case name
	aws       map[string]*ManagedPolicy    // AWS's, by ARN; the same always
	policies  map[string]*ManagedPolicy    // the account's, by lower-case name
	providers map[string]*IdentityProvider // by ARN
	resources map[string]Document          // by ARN
	revoked   map[string]Revocation        // by function
}

// Open reads the directory from the store. A record that is damaged is a
// gust.ErrCorrupt that names it. Access keys that were sealed under another seal
// key are refused from then on, and named in the log.
func Open(ctx context.Context, s *store.Store, o Options) (*Directory, error) {
	d := &Directory{store: s, place: o.Place, functionARN: o.Place.FunctionARN(""), functions: o.Functions, now: o.Now, log: o.Logger, guesses: make(map[string]*guesses), behind: make(chan struct{}, 1), closed: make(chan struct{})}
	if d.now == nil {
		d.now = time.Now
	}
	if d.log == nil {
		d.log = slog.Default()
	}
	if d.functions == nil {
		d.functions = func() map[string]*gust.Function { return nil }
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	d.seal = newSeal(o.Seal, o.Place.Account)
	d.root = access.RootCredential(o.Root, o.Place)
	d.rootOnly = &Entity{Kind: KindUser, Name: d.root.Principal.Name, ARN: d.root.Principal.ARN, ID: o.Place.Account}
	d.trustless = Document{&document{kind: policy.Trust, text: functionTrust}}
	st, err := d.load()
	if err != nil {
		return nil, fmt.Errorf("read the identities: %w", err)
	}
	d.state.Store(st)
	d.done.Go(d.keepUsage)
	d.done.Go(d.keepCompiled)
	return d, nil
}

// Close waits for the change that is under way, and writes when which keys and
// roles were last used.
func (d *Directory) Close() error {
	var err error
	d.close.Do(func() {
		close(d.closed)
		d.done.Wait()
		err = d.flushUsage(context.Background())
	})
	d.writing.Lock()
	defer d.writing.Unlock()
	return err
}

// load reads all records.
func (d *Directory) load() (*state, error) {
	st := &state{
		account: d.place.Account, log: d.log,
		entities: make(map[Ref]*Entity), byID: make(map[string]*Entity), keys: make(map[string]*accessKey),
		policies: make(map[string]*ManagedPolicy), providers: make(map[string]*IdentityProvider),
		resources: make(map[string]Document), revoked: make(map[string]Revocation), devices: make(map[string]*MFADevice),
	}
	var err error
	if st.aws, err = readAWSPolicies(); err != nil {
		return nil, err
	}
	err = d.store.View(partition, func(v *store.Snapshot) error {
		for key, value := range v.Scan(nil) {
			if err := d.read(st, string(key), value); err != nil {
				if !errors.Is(err, errAccount) {
					err = fmt.Errorf("%w: the record %.200q of the identities: %w", gust.ErrCorrupt, key, err)
				}
				return err
			}
		}
		return v.Err()
	})
	if err != nil {
		return nil, err
	}
	return st, st.check()
}

var (
	errAccount = fmt.Errorf("%w: the node is in another account than its identities", gust.ErrInvalid)
	errRecord  = errors.New("it is not what its name says, or lacks a part")
)

// read takes one record into st.
func (d *Directory) read(st *state, key string, value []byte) error {
	kind, rest, _ := strings.Cut(key, "/")
	switch kind {
	case keyRevision:
		if len(value) != 8 {
			return fmt.Errorf("it has %d bytes, not 8", len(value))
		}
		st.revision = binary.BigEndian.Uint64(value)
	case keyAccount:
		if string(value) != d.place.Account {
			return fmt.Errorf("%w: they were made in account %.20s, and it is in %s; start it with --account %.20s, since the ARNs in their policies mean that one", errAccount, value, d.place.Account, value)
		}
	case keyAlias:
		st.alias = string(value)
	case "entity":
		e := new(Entity)
		if err := decode(value, e); err != nil {
			return err
		}
		if key != e.record() || e.Kind != KindUser && e.Kind != KindGroup && e.Kind != KindRole || (e.Kind == KindRole) == e.Trust.IsZero() ||
			e.Service != "" && (e.Kind != KindRole || e.Path != linkedPath+e.Service+"/") {
			return errRecord
		}
		if st.entities[e.Ref().key()] != nil {
			return fmt.Errorf("another %s has the name %q, too", e.Kind, e.Name)
		}
		e.ARN = iamARN(d.place, e.Kind, e.Path, e.Name)
		e.rights = new(rights)
		st.entities[e.Ref().key()], st.byID[e.ID] = e, e
	case "policy":
		p := new(ManagedPolicy)
		if err := decode(value, p); err != nil {
			return err
		}
		if key != p.record() || p.Version(p.Default) == nil || slices.ContainsFunc(p.Versions, func(v Version) bool { return v.Document.IsZero() }) {
			return errRecord
		}
		p.ARN = iamARN(d.place, KindPolicy, p.Path, p.Name)
		st.policies[policy.Lower(p.Name)] = p
	case "key":
		k := new(accessKey)
		if err := decode(value, &k.AccessKey); err != nil {
			return err
		}
		if rest != k.ID {
			return errRecord
		}
		d.unseal(k)
		st.keys[k.ID] = k
	case "device":
		return d.readDevice(st, key, value)
	case "provider":
		p := new(IdentityProvider)
		if err := decode(value, p); err != nil {
			return err
		}
		if rest != p.URL {
			return errRecord
		}
		p.ARN = iamARN(d.place, KindProvider, "/", p.URL)
		st.providers[p.ARN] = p
	case "resource":
		var p Document
		if err := decode(value, &p); err != nil {
			return err
		}
		st.resources[rest] = p
	case "revoked":
		var r Revocation
		if err := decode(value, &r); err != nil {
			return err
		}
		if r.Count == 0 {
			return errRecord
		}
		st.revoked[rest] = r
	case "used":
		u := new(Use)
		if err := decode(value, u); err != nil {
			return err
		}
		d.usage.load(rest, u)
	default:
		return errors.New("this version of Gust knows no such record")
	}
	return nil
}

func decode(value []byte, v any) error { return json.Unmarshal(value, v) }

// check refuses records that name others which are not there.
func (st *state) check() error {
	for _, k := range st.keys {
		if st.byID[k.User] == nil {
			return fmt.Errorf("%w: the record %q of the identities is of user %q, who is not there", gust.ErrCorrupt, "key/"+k.ID, k.User)
		}
	}
	for _, m := range st.devices {
		if e := st.byID[m.User]; m.User != "" && (e == nil || e.Kind != KindUser) {
			return fmt.Errorf("%w: the record %q of the identities is of user %q, who is not there", gust.ErrCorrupt, m.record(), m.User)
		}
	}
	for _, e := range st.byID {
		for _, id := range e.Groups {
			if st.byID[id] == nil {
				return fmt.Errorf("%w: the record %q of the identities is of a member of group %q, which is not there", gust.ErrCorrupt, e.record(), id)
			}
		}
		for _, arn := range e.managed() {
			if st.policy(arn) == nil {
				return fmt.Errorf("%w: the record %q of the identities has the policy %q, which is not there", gust.ErrCorrupt, e.record(), arn)
			}
		}
	}
	return nil
}

// change is one change under way: what the directory is to be, and the records
// that make it so. What it changes it copies first.
type change struct {
	*state
	d       *Directory
	now     time.Time
	records map[string][]byte // nil deletes
	renewed []*Entity         // users and roles, whose rights are to be compiled
}

// change makes one durable change of what fn writes, and then everybody sees it.
// When fn fails, or writes nothing, nothing changes.
func (d *Directory) change(ctx context.Context, fn func(*change) error) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	was := d.state.Load()
	next := *was
	next.revision++
	next.entities, next.byID = maps.Clone(was.entities), maps.Clone(was.byID)
	next.keys, next.policies, next.providers = maps.Clone(was.keys), maps.Clone(was.policies), maps.Clone(was.providers)
	next.resources, next.revoked, next.devices = maps.Clone(was.resources), maps.Clone(was.revoked), maps.Clone(was.devices)
	c := &change{state: &next, d: d, now: d.now().UTC(), records: make(map[string][]byte)}
	if err := fn(c); err != nil {
		return err
	}
	if len(c.records) == 0 {
		return nil
	}
	err := d.store.Update(ctx, partition, func(tx *store.Tx) error {
		// The state is what was acknowledged. A write whose fate is not known,
		// because its disk failed, must not be written over.
		var stored uint64
		switch v, err := tx.Get([]byte(keyRevision)); {
		case errors.Is(err, gust.ErrNotFound):
		case err != nil:
			return err
		default:
			stored = binary.BigEndian.Uint64(v)
		}
		if stored != was.revision {
			return fmt.Errorf("%w: the identities went from revision %d to %d meanwhile", gust.ErrConflict, was.revision, stored)
		}
		for key, value := range c.records {
			err := tx.Set([]byte(key), value)
			if value == nil {
				err = tx.Delete([]byte(key))
			}
			if err != nil {
				return err
			}
		}
		if err := tx.Set([]byte(keyAccount), []byte(next.account)); err != nil {
			return err
		}
		return tx.Set([]byte(keyRevision), binary.BigEndian.AppendUint64(nil, next.revision))
	})
	if err != nil {
		return fmt.Errorf("write the identities: %w", err)
	}
	c.compile()
	d.state.Store(&next)
	return nil
}

// write makes value the record.
func (c *change) write(key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	c.records[key] = data
	return nil
}

func (c *change) delete(key string) { c.records[key] = nil }
