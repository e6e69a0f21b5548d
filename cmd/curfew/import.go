package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/internal/exportfile"
	"github.com/curfewhq/curfew/services/replay"
)

// importReport is what an import has come to.
type importReport struct {
	File     string `json:"file"`
	Executed bool   `json:"executed"`
	// Import is the name that the events are marked with, which is the same for the same file.
	Import string `json:"import"`
	Events uint64 `json:"events"`
	New    uint64 `json:"new"`
	Known  uint64 `json:"known"`
	// Expired events are no longer needed by any replica.
	Expired uint64 `json:"expired"`
	Refused uint64 `json:"refused"`
	// Lines are the refused ones, the first maxListedLines of them; in text they are printed one by one as they are met, all of them.
	Lines    []replay.RefusedLine `json:"refused_lines"`
	Position uint64               `json:"position,omitempty"`
}

const maxListedLines = 1000

func newImport(r *remote) *cobra.Command {
	var execute, all bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Store the events of an export that the ledger doesn't have", Args: oneFile("events.ndjson.gz"),
		Long: `Stores the events of a file that 'curfew export' has written, as they were: with their own ids, times and cutoffs, under their own tenants. The file is verified first; of one that was changed or cut off
nothing is stored. What the ledger has isn't stored again, so an import that was interrupted is simply run again, at any date. Events are marked as replayed: services refuse the sessions, and no
browser is told of old logouts. What no service needs any more is left out, unless --all.

It is a dry run unless --execute. It takes a key with the scope operator. Exit code 1 if a line can't be imported; the others are.`,
	}
	r.addDataDir(cmd)
	cmd.Flags().BoolVar(&execute, "execute", false, "store the events; without it they are only counted")
	cmd.Flags().BoolVar(&all, "all", false, "also those that no service needs any more, for their history")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		m, err := verifyFile(args[0])
		if err != nil {
			return hinted{fmt.Errorf("%s: %w; nothing was stored", args[0], err), "have it written again with 'curfew export', or fetch it again"}
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		defer c.Close()
		im := &importing{
			client: c, execute: execute, all: all, progress: cmd.ErrOrStderr(), quiet: r.json, next: time.Now().Add(progressEvery),
			report: importReport{File: args[0], Executed: execute, Import: "import-" + m.SHA256[:16], Events: m.Events, Lines: []replay.RefusedLine{}},
		}
		if err := im.run(cmd.Context(), m); err != nil {
			return im.broken(err)
		}
		return im.report.print(cmd.OutOrStdout(), r.json)
	}
	return cmd
}

func verifyFile(path string) (exportfile.Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return exportfile.Manifest{}, err
	}
	defer f.Close()
	m, err := verifyExport(f)
	if err == nil && len(m.SHA256) < 16 {
		err = errors.New("the manifest has no digest")
	}
	return m, err
}

// print writes the report, and returns the outcome that it means.
func (p importReport) print(w io.Writer, asJSON bool) error {
	var err error
	switch {
	case asJSON:
		err = printJSON(w, p)
	case p.Executed:
		_, err = fmt.Fprintf(w, "%s: %d events stored as %s; %d were there already, %d are no longer needed, %d refused\n", p.File, p.New, p.Import, p.Known, p.Expired, p.Refused)
	default:
		_, err = fmt.Fprintf(w, "DRY RUN: nothing was stored.\n%s: of %d events %d would be stored; %d are there already, %d are no longer needed, %d refused\nto store them: curfew import %s --execute\n",
			p.File, p.Events, p.New, p.Known, p.Expired, p.Refused, p.File)
	}
	if err == nil && p.Refused > 0 {
		return coded(exitFailed)
	}
	return err
}
