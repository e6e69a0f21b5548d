package backup

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/curfewhq/curfew/internal/bus"
)

// maxManifestBytes is far above what one takes: a stream's settings are some KB.
const maxManifestBytes = 4 << 20

// ErrNoBackup is returned for a file that isn't a backup, or isn't whole, or isn't as it was written.
var ErrNoBackup = errors.New("not a backup, or not as it was written")

// File is a backup on the disk. It isn't safe for concurrent use.
type File struct {
	Manifest Manifest

	archive *zip.ReadCloser
	// entries: stream → its snapshot.
	entries map[string]*zip.File
}

// Open opens a backup and reads its manifest, or returns ErrNoBackup. The caller closes it.
func Open(path string) (*File, error) {
	archive, err := zip.OpenReader(path)
	if errors.Is(err, zip.ErrFormat) {
		return nil, fmt.Errorf("%w: it has no end of its table of contents, as a file that was cut off", ErrNoBackup)
	}
	if err != nil {
		return nil, err
	}
	f := &File{archive: archive, entries: map[string]*zip.File{}}
	if err := f.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoBackup, err), f.Close())
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error { return f.archive.Close() }

// read reads the manifest, and finds each stream's snapshot.
func (f *File) read() error {
	named := map[string]*zip.File{}
	for _, entry := range f.archive.File {
		if named[entry.Name] != nil {
			return errors.New("an entry stands in it twice")
		}
		named[entry.Name] = entry
	}
	entry := named[manifestName]
	if entry == nil {
		return errors.New("it has no manifest")
	}
	in, err := entry.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	if err := json.NewDecoder(io.LimitReader(in, maxManifestBytes)).Decode(&f.Manifest); err != nil {
		return fmt.Errorf("the manifest can't be read: %w", err)
	}
	if f.Manifest.Format != Format {
		return fmt.Errorf("its form is %q, and this version knows %s", f.Manifest.Format, Format)
	}
	for _, s := range f.Manifest.Streams {
		// Whoever restores may do what he likes in the NATS of others: a file mustn't.
		if !slices.Contains(bus.Backable(), s.Name) {
			return fmt.Errorf("it holds %q, which is no stream that a backup of this version has", s.Name)
		}
		if f.entries[s.Name] = named[s.Name+snapshotSuffix]; f.entries[s.Name] == nil {
			return fmt.Errorf("the snapshot of %q is missing", s.Name)
		}
		if _, err := s.Read(); err != nil {
			return fmt.Errorf("the state of %q can't be read: %w", s.Name, err)
		}
	}
	if len(f.entries) != len(f.Manifest.Streams) || len(named) != len(f.entries)+1 {
		return errors.New("it holds something else than its manifest tells")
	}
	if _, ok := f.Manifest.Ledger(); !ok {
		return errors.New("it has no ledger")
	}
	return nil
}

// Verify reads all of the file, and returns ErrNoBackup if it isn't what its manifest tells.
func (f *File) Verify() error {
	for _, s := range f.Manifest.Streams {
		in, err := f.entries[s.Name].Open()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoBackup, err)
		}
		sum := sha256.New()
		n, err := io.Copy(sum, in)
		if err = errors.Join(err, in.Close()); err != nil {
			return fmt.Errorf("%w: the snapshot of %s: %w", ErrNoBackup, s.Name, err)
		}
		if n != s.Bytes || hex.EncodeToString(sum.Sum(nil)) != s.SHA256 {
			return fmt.Errorf("%w: the snapshot of %s isn't the one that was written: its SHA-256 is another", ErrNoBackup, s.Name)
		}
	}
	return nil
}

// Options say what of a backup is restored.
type Options struct {
	// LedgerOnly leaves the other streams out.
	LedgerOnly bool
	// Lost says that what was stored since the backup is lost. See [bus.Restore].
	Lost bool
}

// Streams returns what is restored, in the order of the file.
func (f *File) Streams(o Options) []Stream {
	return slices.DeleteFunc(slices.Clone(f.Manifest.Streams), func(s Stream) bool { return o.LedgerOnly && s.Name != bus.LedgerStream })
}

// Free returns nil if all that would be restored can be, or bus.ErrExists for the streams that are there.
func (f *File) Free(ctx context.Context, b *bus.Bus, o Options) error {
	var there []error
	for _, s := range f.Streams(o) {
		there = append(there, b.FreeToRestore(ctx, s.Name))
	}
	return errors.Join(there...)
}

// Restore brings the streams back: all of them, or none. Nobody of ours uses one before the last is back. A file that wasn't verified may fail in the middle, and leaves nothing either.
func (f *File) Restore(ctx context.Context, b *bus.Bus, o Options) (err error) {
	if err := f.Free(ctx, b, o); err != nil {
		return err
	}
	var done []*bus.Restored
	defer func() {
		if err != nil {
			err = errors.Join(err, b.DropRestored(context.WithoutCancel(ctx), done...))
		}
	}()
	for _, s := range f.Streams(o) {
		back, err := f.restore(ctx, b, s, o)
		if err != nil {
			return err
		}
		done = append(done, back)
	}
	return b.Settle(ctx, done...)
}

func (f *File) restore(ctx context.Context, b *bus.Bus, s Stream, o Options) (*bus.Restored, error) {
	in, err := f.entries[s.Name].Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // it was only read
	return b.BringBack(ctx, bus.Restore{Stream: s.Name, Snapshot: s.StreamSnapshot, Events: s.Events, Lost: o.Lost}, in)
}
