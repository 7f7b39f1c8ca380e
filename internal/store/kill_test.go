package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	gust "github.com/gust-dev/gust"
)

// childDir names the data folder to a child process that is this test's binary.
const childDir = "GUST_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// child runs transitions until it is killed, and prints each one that was
// acknowledged, as "partition number".
func child(dir string) {
	s, err := Open(Options{Dir: dir, Logger: quiet(), tune: busy, OnFatal: func(err error) { panic(err) }})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			p := Partition(fmt.Sprint("p", c))
			for {
				n, err := count(s, p)
				if err != nil {
					panic(err)
				}
				out.Lock()
				fmt.Println(p, n)
				out.Unlock()
			}
		})
	}
	wg.Wait()
}

// count adds one to a partition's counter, and a record and a timer for it.
func count(s *Store, p Partition) (n uint64, err error) {
	err = s.Update(context.Background(), p, func(tx *Tx) error {
		if v, err := tx.Get([]byte("n")); err == nil {
			n = binary.BigEndian.Uint64(v)
		} else if !errors.Is(err, gust.ErrNotFound) {
			return err
		}
		n++
		v := binary.BigEndian.AppendUint64(nil, n)
		tx.Set([]byte("n"), v)
		tx.Set(append([]byte("record/"), v...), make([]byte, 200))
		return tx.SetTimer(Timer{ID: "t", Kind: "k", At: time.Unix(int64(n), 0)})
	})
	return n, err
}

func TestKillNine(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]uint64{}
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for seen := 0; lines.Scan(); seen++ {
			var p string
			var n uint64
			if _, err := fmt.Sscan(lines.Text(), &p, &n); err != nil {
				t.Error(lines.Text())
				break
			}
			// What is printed after the signal was acknowledged too.
			acked[p] = max(acked[p], n)
			if seen == 300+round*150 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		if bad, err := checkNames(t, dir); err != nil {
			t.Fatalf("round %d: %v, %v", round, bad, err)
		}
		s := open(t, Options{Dir: dir, tune: busy})
		for p, n := range acked {
			if err := s.View(Partition(p), func(v *Snapshot) error {
				b, err := v.Get([]byte("n"))
				if err != nil {
					return err
				}
				have := binary.BigEndian.Uint64(b)
				records := uint64(0)
				for range v.Scan([]byte("record/")) {
					records++
				}
				tm, err := v.Timer("t")
				if have < n || records != have || uint64(tm.At.Unix()) != have {
					t.Errorf("round %d, %s: %d were acknowledged, there are count %d, %d records, timer %d",
						round, p, n, have, records, tm.At.Unix())
				}
				return err
			}); err != nil {
				t.Errorf("round %d, %s: %v", round, p, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) != 8 {
		t.Errorf("acknowledged: %v", acked)
	}
}
