package main

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// slowDisk is the disk with a sync that takes as long as one of a disk without
// a protected write cache.
type slowDisk struct {
	vfs.FS
	sync time.Duration
}

func (d slowDisk) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return slowFile{f, d.sync}, nil
}

func (d slowDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.Create(name, c))
}

func (d slowDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.wrap(d.FS.OpenReadWrite(name, c, opts...))
}

func (d slowDisk) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.ReuseForWrite(old, name, c))
}

type slowFile struct {
	vfs.File
	sync time.Duration
}

func (f slowFile) wait(err error) error {
	time.Sleep(f.sync)
	return err
}

func (f slowFile) Sync() error     { return f.wait(f.File.Sync()) }
func (f slowFile) SyncData() error { return f.wait(f.File.SyncData()) }
func (f slowFile) SyncTo(n int64) (bool, error) {
	full, err := f.File.SyncTo(n)
	if full {
		err = f.wait(err)
	}
	return full, err
}
