package identity

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/store"
)

// Use is when, and for what, a key or a role was last used.
type Use struct {
	At      time.Time `json:"at"`
	Service string    `json:"service,omitempty"`
	Region  string    `json:"region,omitempty"`
}

const (
	// usageEvery is how often uses are written, all in one batch.
	usageEvery = time.Minute
	// usageGrain is how exact they are: within it nothing is noted, so that
	// those who are busy do not wait for each other's cache lines.
	usageGrain = int64(time.Second)
)

// usage is what is known of uses, by key ID, role ID and the name of a function's
// role. It is in memory, and a crash loses up to a minute of it.
type usage struct{ marks sync.Map } // string -> *mark

type mark struct {
	at   atomic.Int64 // of last, in nanoseconds
	last atomic.Pointer[Use]
	due  atomic.Bool // not written yet
}

func (u *usage) load(id string, use *Use) {
	m := new(mark)
	m.at.Store(use.At.UnixNano())
	m.last.Store(use)
	u.marks.Store(id, m)
}

func (u *usage) of(id string) *Use {
	if m, ok := u.marks.Load(id); ok {
		return m.(*mark).last.Load()
	}
	return nil
}

// Used notes that somebody has proven to hold a credential. It touches no disk.
func (d *Directory) Used(c *access.Credential, service, region string, at time.Time) {
	id := c.KeyID
	switch p := c.Principal; {
	case p.Function != "":
		id = p.Name
	case p.Kind == access.KindRole:
		id, _, _ = strings.Cut(p.ID, ":")
	case !p.Issued.IsZero():
		return // of a key's own sessions the key's use tells
	}
	v, ok := d.usage.marks.Load(id)
	if !ok {
		v, _ = d.usage.marks.LoadOrStore(id, new(mark))
	}
	m, now := v.(*mark), at.UnixNano()
	if last := m.at.Load(); now-last < usageGrain && last-now < usageGrain {
		return
	}
	m.at.Store(now)
	m.last.Store(&Use{at.UTC(), strings.Clone(service), strings.Clone(region)})
	m.due.Store(true)
}

// RoleUsed is when a role was last used, or nil. Of a function's role it is known
// since the node was started.
func (d *Directory) RoleUsed(e *Entity) *Use {
	if e.Function != "" {
		return d.usage.of(e.Name)
	}
	return d.usage.of(e.ID)
}

// keepUsage writes uses every minute until the directory is closed.
func (d *Directory) keepUsage() {
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := d.flushUsage(context.Background()); err != nil {
				d.log.Warn("when keys and roles were last used is not written, and is tried again in a minute", "error", err)
			}
		case <-d.closed:
			return
		}
	}
}

// flushUsage writes what has come since the last time, in one transition. What
// belongs to a key or a role that is gone is forgotten.
func (d *Directory) flushUsage(ctx context.Context) error {
	d.writing.Lock() // so that what is deleted stays deleted
	defer d.writing.Unlock()
	st := d.state.Load()
	written := make(map[*mark]*Use)
	records := make(map[string][]byte)
	for id, v := range d.usage.marks.Range {
		id, m := id.(string), v.(*mark)
		function, ofFunction := strings.CutPrefix(id, functionPrefix)
		switch {
		case ofFunction && d.functions()[function] != nil:
			continue
		case ofFunction, st.keys[id] == nil && st.byID[id] == nil && id != d.root.KeyID:
			d.usage.marks.Delete(id)
			continue
		case !m.due.Swap(false):
			continue
		}
		use := m.last.Load()
		data, err := json.Marshal(use)
		if err != nil {
			return err
		}
		written[m], records["used/"+id] = use, data
	}
	if len(records) == 0 {
		return nil
	}
	err := d.store.Update(ctx, partition, func(tx *store.Tx) error {
		for key, value := range records {
			if err := tx.Set([]byte(key), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for m := range written {
			m.due.Store(true)
		}
	}
	return err
}
