package invoke

import (
	"context"
	"time"

	"github.com/gust-dev/gust/internal/store"
)

// What was learnt of the pauses between a function's uses is kept, so that a
// restart forgets little of it: at the end, and now and then for when there is
// none. It is a cache, under the function's name: what cannot be read, or cannot
// be written, is learnt anew.
const (
	learnedPartition store.Partition = "prewarm"
	learnedEvery                     = 10 * time.Minute
)

// recall takes up what was learnt before, and drops what is of no use any more.
// The caller holds mu.
func (iv *Invoker) recall() {
	now := time.Now()
	var useless [][]byte
	err := iv.Store.View(learnedPartition, func(s *store.Snapshot) error {
		for key, value := range s.Scan(nil) {
			if !iv.scaler.Learn(now, string(key), value) {
				useless = append(useless, append([]byte(nil), key...))
			}
		}
		return s.Err()
	})
	if err == nil && len(useless) > 0 {
		err = iv.Store.Update(iv.ctx, learnedPartition, func(tx *store.Tx) error {
			for _, key := range useless {
				if err := tx.Delete(key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		iv.Logger.Warn("what was learnt of when functions are used could not be read, and is learnt anew", "error", err)
	}
}

// remember keeps what was learnt since it was kept before.
func (iv *Invoker) remember(ctx context.Context) {
	learned := map[string][]byte{}
	iv.mu.Lock()
	iv.scaler.Learned(func(function string, data []byte) { learned[function] = append([]byte(nil), data...) })
	iv.mu.Unlock()
	if len(learned) == 0 {
		return
	}
	err := iv.Store.Update(ctx, learnedPartition, func(tx *store.Tx) error {
		for function, data := range learned {
			if err := tx.Set([]byte(function), data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		iv.Logger.Warn("what was learnt of when functions are used could not be kept", "functions", len(learned), "error", err)
	}
}

// rememberAll does so now and then, until the node begins to drain.
func (iv *Invoker) rememberAll() {
	every := time.NewTicker(learnedEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			iv.remember(iv.intake)
		case <-iv.intake.Done():
			return
		}
	}
}
