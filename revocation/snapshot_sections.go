package revocation

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
	"github.com/curfewhq/curfew/revocation/internal/table"
)

const (
	// sections is how many follow a header: the sessions' shards, and then the scopes'.
	sections = 2 * table.Shards
	// maxSection bounds what a length makes its reader allocate: a million entries of a shard.
	maxSection = 32 << 20
	// snapshotWorkers is how many sections are worked on at once. More would take the processors of the service.
	snapshotWorkers = 2
)

// section returns which table section i is of, which shard, and whether its entries have extra words.
func (s *set) section(i int) (t *table.Table, shard int, extra bool) {
	if i < table.Shards {
		return s.sessions, i, false
	}
	return s.scopes, i - table.Shards, true
}

func (s *set) empty() bool { return s.sessions.Len() == 0 && s.scopes.Len() == 0 }

// merge joins what other holds, under the same key.
func (s *set) merge(other *set) {
	for i := range s.latest {
		s.raise(fp.Kind(i), other.latest[i].Load())
	}
	s.reach(other.highest.Load())
	for i := range table.Shards {
		other.sessions.Each(i, func(e table.Entry) { s.joinSession(e.FP, meta(e.Meta)) })
		other.scopes.Each(i, func(e table.Entry) { s.joinCutoffs(e.FP, decodeCutoffs(&e)) })
	}
}

// write writes a snapshot. Sections are made by a few goroutines, which end before it returns.
func (s *set) write(ctx context.Context, to io.Writer, h *header) error {
	out := bufio.NewWriterSize(to, 1<<20)
	if _, err := out.Write(h.encode()); err != nil {
		return err
	}
	workers := min(snapshotWorkers, runtime.GOMAXPROCS(0))
	stop := make(chan struct{})
	var making sync.WaitGroup
	defer making.Wait()
	defer close(stop)
	made, taken := make([]chan []byte, workers), make([]chan struct{}, workers)
	for k := range workers {
		made[k], taken[k] = make(chan []byte), make(chan struct{})
		making.Go(func() {
			w := sectionWriter{upTo: h.upTo}
			for i := k; i < sections; i += workers {
				t, shard, extra := s.section(i)
				select {
				case made[k] <- w.encode(t, shard, extra):
				case <-stop:
					return
				}
				select {
				case <-taken[k]:
				case <-stop:
					return
				}
			}
		})
	}
	for i := range sections {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k := i % workers
		if _, err := out.Write(<-made[k]); err != nil {
			return err
		}
		taken[k] <- struct{}{}
	}
	if _, err := out.Write(s.trailer()); err != nil {
		return err
	}
	return out.Flush()
}

// readJob is a section to be decoded.
type readJob struct {
	i     int
	bytes []byte
}

// read fills the set, which is empty and nobody else's, from a snapshot whose header has been read.
func (s *set) read(ctx context.Context, from io.Reader, h *header) error {
	s.reach(h.highest)
	jobs, free, failed := make(chan readJob), make(chan []byte, snapshotWorkers+1), make(chan error, snapshotWorkers)
	for range cap(free) {
		free <- nil
	}
	var decoding sync.WaitGroup
	for range snapshotWorkers {
		decoding.Go(func() {
			r := sectionReader{upTo: h.upTo}
			for job := range jobs {
				if err := s.fill(&r, job); err != nil {
					failed <- err
					return
				}
				free <- job.bytes
			}
		})
	}
	in := bufio.NewReaderSize(from, 1<<20)
	err := readSections(ctx, in, jobs, free, failed)
	if err == nil {
		err = s.readTrailer(in)
	}
	close(jobs)
	decoding.Wait()
	select {
	case late := <-failed:
		if err == nil {
			err = late
		}
	default:
	}
	return err
}

func readSections(ctx context.Context, in *bufio.Reader, jobs chan<- readJob, free <-chan []byte, failed <-chan error) error {
	for i := range sections {
		var buf []byte
		select {
		case buf = <-free:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		buf, err := readSection(in, buf)
		if err != nil {
			return err
		}
		select {
		case jobs <- readJob{i, buf}:
		case err := <-failed:
			return err
		}
	}
	return nil
}

// readSection reads a section with its length and checksum into buf, or into more memory if that is too small.
func readSection(in io.Reader, buf []byte) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, cut(err)
	}
	told := binary.LittleEndian.Uint32(length[:])
	if told > maxSection {
		return nil, fmt.Errorf("%w: a section is too long", ErrSnapshotCorrupt)
	}
	n := int(told)
	if cap(buf) < n+4 {
		buf = make([]byte, n+4)
	}
	buf = buf[:n+4]
	if _, err := io.ReadFull(in, buf); err != nil {
		return nil, cut(err)
	}
	return buf, nil
}

// fill checks a section and puts its entries into their shard.
func (s *set) fill(r *sectionReader, job readJob) error {
	sum, section := binary.LittleEndian.Uint32(job.bytes), job.bytes[4:]
	if crc32.Checksum(section, castagnoli()) != sum {
		return fmt.Errorf("%w: a section's checksum is wrong", ErrSnapshotCorrupt)
	}
	t, shard, extra := s.section(job.i)
	entries, err := r.decode(section, shard, extra)
	if err != nil {
		return err
	}
	if !t.Fill(shard, entries) {
		return fmt.Errorf("%w: its entries lie where they can't be searched", ErrSnapshotCorrupt)
	}
	return nil
}
