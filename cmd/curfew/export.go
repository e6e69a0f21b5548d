package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/internal/exportfile"
)

func newExport(r *remote) *cobra.Command {
	var out string
	var force bool
	cmd := &cobra.Command{
		Use: "export --out FILE", Short: "Write the events of a range to a file, with a digest", Args: noArgs,
		Long: `Writes the events of a range to a file: gzip of one JSON record per line, and a manifest with their number and SHA-256 on the last. It holds ids: keep it as you keep a database dump. 'curfew export
verify FILE' tells whether it is whole and as it was written; whoever can write the file can write another digest too.`,
	}
	r.addDataDir(cmd)
	f := addFilters(cmd, rangeHelp())
	cmd.Flags().StringVar(&out, "out", "", "file to write, such as events.ndjson.gz; - for standard output")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if out == "" {
			return usageError{errors.New("--out: give the file to write, or - for standard output")}
		}
		var m exportfile.Manifest
		write := func(w io.Writer) (err error) { m, err = export(cmd, r, f, w); return err }
		if out == "-" {
			return write(cmd.OutOrStdout())
		}
		if err := replaceFile(out, force, write, nil); err != nil {
			return err
		}
		return printManifest(cmd.OutOrStdout(), r.json, out, m)
	}
	cmd.AddCommand(newExportVerify(r))
	return cmd
}

// export writes an export to w.
func export(cmd *cobra.Command, r *remote, f filters, w io.Writer) (exportfile.Manifest, error) {
	c, err := r.client()
	if err != nil {
		return exportfile.Manifest{}, err
	}
	defer c.Close()
	zip := gzip.NewWriter(w)
	tally := newTally()
	lines := io.MultiWriter(zip, tally.sum)
	err = c.Lines(cmd.Context(), revocations+"?"+f.query(url.Values{}), func(line []byte) error {
		if err := tally.take(line); err != nil {
			return err
		}
		_, err := lines.Write(append(line, '\n'))
		return err
	})
	if err != nil {
		return exportfile.Manifest{}, err
	}
	m := tally.manifest(time.Now())
	if err := json.NewEncoder(zip).Encode(exportfile.Line{Manifest: &m}); err != nil {
		return exportfile.Manifest{}, err
	}
	return m, zip.Close()
}

// tally counts and sums up the lines of an export.
type tally struct {
	so  exportfile.Manifest
	sum hash.Hash
}

func newTally() *tally { return &tally{sum: sha256.New()} }

// take counts a record. The caller adds its line to the sum.
func (t *tally) take(line []byte) error {
	r, ok := markOf(line)
	if !ok {
		return fmt.Errorf("event %d: not a record", t.so.Events+1)
	}
	if r.Position <= t.so.Last {
		return fmt.Errorf("event %d: position %d isn't behind that of the one before", t.so.Events+1, r.Position)
	}
	t.so.Count(r.Position, r.Stored)
	return nil
}

// mark is what of a record counts for the manifest.
type mark struct {
	Position uint64    `json:"position"`
	Stored   time.Time `json:"stored"`
}

// markOf reads a record no further than it must, and checks the form of the rest: to read the whole takes as long again as everything else that is done with it. Servers write position and stored
// first; what another has written is read whole.
func markOf(line []byte) (m mark, ok bool) {
	rest, first := bytes.CutPrefix(line, []byte(`{"position":`))
	position, rest, second := bytes.Cut(rest, []byte(`,"stored":"`))
	stored, _, third := bytes.Cut(rest, []byte(`"`))
	if first && second && third {
		var errs [2]error
		m.Position, errs[0] = strconv.ParseUint(string(position), 10, 64)
		m.Stored, errs[1] = time.Parse(time.RFC3339, string(stored))
		if errors.Join(errs[:]...) == nil {
			return m, m.Position > 0 && json.Valid(line)
		}
	}
	m = mark{}
	return m, json.Unmarshal(line, &m) == nil && m.Position > 0
}

func (t *tally) manifest(made time.Time) exportfile.Manifest {
	return t.so.Sealed(t.sum.Sum(nil), made)
}

// replaceFile puts what write writes at path, whole and on the disk, or leaves what is there. check, if it isn't nil, is given where it lies before that.
func replaceFile(path string, force bool, write func(io.Writer) error, check func(partial string) error) error {
	if _, err := os.Lstat(path); err == nil && !force {
		return hinted{fmt.Errorf("%s: %w", path, fs.ErrExist), "give another file, or --force to replace it"}
	}
	f, err := os.OpenFile(path+".partial", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	err = write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && check != nil {
		err = check(f.Name())
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func printManifest(w io.Writer, asJSON bool, path string, m exportfile.Manifest) error {
	if asJSON {
		return printJSON(w, m)
	}
	_, err := fmt.Fprintf(w, "%s: %d events", path, m.Events)
	if m.Events > 0 {
		_, err = fmt.Fprintf(w, ", positions %d to %d, stored %s to %s", m.First, m.Last, instant(m.FirstStored), instant(m.LastStored))
	}
	_, err2 := fmt.Fprintf(w, "\nsha256 of the records: %s\n", m.SHA256)
	return errors.Join(err, err2)
}
