package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/internal/exportfile"
)

// maxExportLine bounds a line of an export: an event of a thousand sessions is half a megabyte.
const maxExportLine = 4 << 20

func newExportVerify(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Tell whether an export is whole and as it was written", Args: oneFile("events.ndjson.gz"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			m, err := verifyExport(f)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return printManifest(cmd.OutOrStdout(), r.json, args[0], m)
		},
	}
}

// verifyExport reads an export, and returns its manifest if that tells what is there.
func verifyExport(from io.Reader) (exportfile.Manifest, error) {
	zip, err := gzip.NewReader(bufio.NewReader(from))
	if err != nil {
		return exportfile.Manifest{}, fmt.Errorf("not an export, or one that was cut off: %w", err)
	}
	lines := bufio.NewScanner(zip)
	lines.Buffer(nil, maxExportLine)
	tally := newTally()
	var told *exportfile.Manifest
	for lines.Scan() {
		line := lines.Bytes()
		if told != nil {
			return exportfile.Manifest{}, errors.New("something stands behind the manifest")
		}
		if bytes.HasPrefix(line, []byte(`{"manifest":`)) {
			var last exportfile.Line
			if err := json.Unmarshal(line, &last); err != nil || last.Manifest == nil {
				return exportfile.Manifest{}, errors.New("the manifest can't be read")
			}
			told = last.Manifest
			continue
		}
		if err := tally.take(line); err != nil {
			return exportfile.Manifest{}, err
		}
		tally.sum.Write(line)
		tally.sum.Write([]byte{'\n'})
	}
	if err := lines.Err(); err != nil {
		return exportfile.Manifest{}, fmt.Errorf("behind event %d: %w", tally.so.Events, err)
	}
	return tally.agree(told)
}

// agree returns the manifest if it tells what was counted.
func (t *tally) agree(told *exportfile.Manifest) (exportfile.Manifest, error) {
	switch {
	case told == nil:
		return exportfile.Manifest{}, fmt.Errorf("it ends behind event %d, without a manifest: it was cut off", t.so.Events)
	case told.Format != exportfile.Format:
		return exportfile.Manifest{}, fmt.Errorf("its form is %q, and this version knows %s", told.Format, exportfile.Format)
	}
	is := t.manifest(told.Made)
	switch {
	case is.Events != told.Events:
		return exportfile.Manifest{}, fmt.Errorf("it holds %d events, and its manifest tells of %d", is.Events, told.Events)
	case is.SHA256 != told.SHA256:
		return exportfile.Manifest{}, errors.New("the records aren't those that were written: their SHA-256 is another")
	}
	return *told, nil
}
