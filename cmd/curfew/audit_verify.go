package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/signing"
	"github.com/curfewhq/curfew/services/audit"
)

// verifyFlags say what is trusted.
type verifyFlags struct {
	key, checkpoints string
	from             uint64
	maxGap           time.Duration
}

func newAuditVerify(r *remote) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use: "verify", Short: "Tell whether the ledger is as its checkpoints say, and the first position that isn't", Args: noArgs,
		Long: `Reads all events of the ledger and all checkpoints, does the sums here, and names each position that isn't as it was signed.

Without --checkpoints and --key it believes the server what the checkpoints are and which key has signed them: that finds what somebody has changed who couldn't sign. Only a copy of the
checkpoints that was kept elsewhere ('curfew audit ls --all --json', or the file of audit.file) finds what somebody has changed who could.
What no chain can show is in docs/audit.md.

Exit codes beside those of 'curfew --help': 0 the chain holds; 8 something isn't as it was signed; 9 the chain holds, but for some time no checkpoint was made.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, r) },
	}
	r.addDataDir(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "file with the public key, as 'curfew audit keys' has printed it once; without it the server is believed")
	flags.StringVar(&f.checkpoints, "checkpoints", "", "file with checkpoints that were kept elsewhere; without it the server is believed")
	flags.Uint64Var(&f.from, "from", 0, "number of the first checkpoint to look at, to leave out what is known, such as a backup that was restored")
	flags.DurationVar(&f.maxGap, "max-gap", chain.DefaultMaxGap, "how far apart in time checkpoints may be")
	return cmd
}

// verified is what verify prints as JSON.
type verified struct {
	chain.Report
	// KeysFrom and CheckpointsFrom are what was believed: server, or the name of a file.
	KeysFrom        string         `json:"keys_from"`
	CheckpointsFrom string         `json:"checkpoints_from"`
	FirstBad        *chain.Finding `json:"first_bad,omitempty"`
}

func (f verifyFlags) run(cmd *cobra.Command, r *remote) error {
	if f.maxGap <= 0 {
		return usageError{errors.New("--max-gap: must be above 0, such as 3m")}
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	out := verified{KeysFrom: "server", CheckpointsFrom: "server"}
	keys, err := f.keys()
	if err != nil {
		return err
	}
	var kept []chain.Signed
	if f.checkpoints != "" {
		if kept, err = readCheckpoints(f.checkpoints); err != nil {
			return err
		}
		out.CheckpointsFrom = f.checkpoints
	}
	if f.key != "" {
		out.KeysFrom = f.key
	}
	if out.Report, err = f.verify(cmd.Context(), c, keys, kept); err != nil {
		return err
	}
	if first, bad := out.Report.FirstBad(); bad {
		out.FirstBad = &first
	}
	if r.json {
		err = printJSON(cmd.OutOrStdout(), out)
	} else {
		printVerified(cmd.OutOrStdout(), out, time.Now())
	}
	switch {
	case err != nil:
		return err
	case out.Broken > 0:
		return coded(exitBroken)
	case out.Doubts > 0:
		return coded(exitDoubts)
	}
	return nil
}

// verify reads the checkpoints first, then how far the ledger goes, then its events: whatever comes meanwhile is behind them.
func (f verifyFlags) verify(ctx context.Context, c *apiclient.Client, keys jose.JSONWebKeySet, kept []chain.Signed) (chain.Report, error) {
	signed, err := fetchCheckpoints(ctx, c)
	if err != nil {
		return chain.Report{}, err
	}
	var status audit.Status
	if err := c.Call(ctx, http.MethodGet, "/v1/audit", nil, nil, &status); err != nil {
		return chain.Report{}, err
	}
	if f.key == "" {
		keys = status.Keys
	}
	signed, differ := chain.Merge(kept, signed)
	trail := chain.Judge(signed, chain.Trust{
		Now: time.Now(), MaxGap: f.maxGap, From: f.from, Differ: differ,
		Open: func(token string) ([]byte, string, error) { return signing.Verify(keys, chain.Type, token) },
	})
	walk := trail.Walk(chain.Head{Made: status.Ledger.Made, First: status.Ledger.First, Last: status.Ledger.Last})
	path := "/v1/audit/entries?after=" + strconv.FormatUint(trail.Begin(status.Ledger.Made), 10)
	err = c.Lines(ctx, path, func(line []byte) error {
		var e audit.Entry
		if err := json.Unmarshal(line, &e); err != nil || e.Position == 0 {
			return errors.New("the server's answer holds what isn't an event")
		}
		return walk.Entry(chain.Entry{Position: e.Position, Stored: e.Stored, Topic: e.Topic, Header: e.Headers, Data: e.Data})
	})
	if err != nil {
		return chain.Report{}, err
	}
	return walk.Report(), nil
}

// keys returns the keys that are trusted, if a file has them.
func (f verifyFlags) keys() (jose.JSONWebKeySet, error) {
	if f.key == "" {
		return jose.JSONWebKeySet{}, nil
	}
	data, err := os.ReadFile(f.key)
	if err != nil {
		return jose.JSONWebKeySet{}, err
	}
	keys, err := signing.ParsePublic(data)
	if err != nil {
		return keys, usageError{fmt.Errorf("--key: %s: %w: save what 'curfew audit keys' prints", f.key, err)}
	}
	return keys, nil
}

// maxCheckpointLine bounds a line of a file of checkpoints.
const maxCheckpointLine = 4 << 20

// readCheckpoints reads a file with a checkpoint on each line, in the order of their numbers.
func readCheckpoints(path string) ([]chain.Signed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxCheckpointLine)
	var signed []chain.Signed
	for n := 1; lines.Scan(); n++ {
		s, err := parseSigned(lines.Bytes())
		if err == nil && len(signed) > 0 && s.Number <= signed[len(signed)-1].Number {
			err = errors.New("its number isn't above that of the line before")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		signed = append(signed, s)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(signed) == 0 {
		return nil, fmt.Errorf("%s holds no checkpoint", path)
	}
	return signed, nil
}

func printVerified(w io.Writer, v verified, now time.Time) {
	fmt.Fprintf(w, "%d events are as they were signed, up to position %d\n", v.Events, v.Position)
	if v.Checkpoints > 0 {
		fmt.Fprintf(w, "  checkpoints    %d, numbers %d to %d, the last made at %s, %s\n", v.Checkpoints, v.First, v.Last, instant(v.LastTime), ago(now.Sub(v.LastTime)))
	}
	for _, count := range []struct {
		n    uint64
		what string
	}{{v.Unsigned, "behind the last checkpoint, not signed yet"}, {v.Forgotten, "forgotten since, by the ledger's retention"}, {v.Elsewhere, "of ledgers that aren't there any more"}} {
		if count.n > 0 {
			fmt.Fprintf(w, "  %-13d  %s\n", count.n, count.what)
		}
	}
	for _, key := range v.Keys {
		fmt.Fprintf(w, "  signed by      %s, known from %s\n", key, v.KeysFrom)
	}
	if v.FirstBad != nil {
		fmt.Fprintf(w, "FIRST BAD POSITION: %d (%s)\n", v.FirstBad.Position, v.FirstBad.Kind)
	}
	for _, f := range v.Findings {
		fmt.Fprintf(w, "%s\n", findingText(f))
	}
	if rest := v.Broken + v.Doubts - uint64(len(v.Findings)); rest > 0 {
		fmt.Fprintf(w, "and %d more\n", rest)
	}
	switch {
	case v.Checkpoints == 0:
		fmt.Fprintln(w, "NOTHING IS SIGNED: the first checkpoint comes some 15 seconds after the first start of a process with the role audit ('curfew doctor' tells); if there were any before, --from lies behind the last of them (curfew audit ls), or somebody has taken them away, or exchanged the key")
	case v.Broken > 0:
		fmt.Fprintln(w, "THE CHAIN IS BROKEN: if nobody has restored a backup, somebody has changed the ledger or its checkpoints. Keep copies of both before you do anything else.")
	case v.Doubts > 0:
		fmt.Fprintln(w, "the chain holds, but what was done while no checkpoint was made doesn't show")
	default:
		fmt.Fprintln(w, "the chain holds")
	}
	if v.CheckpointsFrom == "server" {
		fmt.Fprintln(w, "note: the server was believed what its checkpoints are; give --checkpoints with a copy that was kept elsewhere")
	}
	if v.KeysFrom == "server" {
		fmt.Fprintln(w, "note: the server was believed which key signs; give --key with one that was kept elsewhere")
	}
}

// findingText is one line about a finding.
func findingText(f chain.Finding) string {
	text := string(f.Kind)
	switch {
	case f.Until > 0:
		text += fmt.Sprintf(" at positions %d to %d", f.Position, f.Until)
	case f.Position > 0:
		text += fmt.Sprintf(" at position %d", f.Position)
	}
	if f.Checkpoint > 0 {
		text += fmt.Sprintf(", by checkpoint %d", f.Checkpoint)
	}
	text += fmt.Sprintf(": expected %s; found %s", f.Expected, f.Found)
	if !f.From.IsZero() {
		text += fmt.Sprintf(", from %s to %s", instant(f.From), instant(f.To))
	}
	return text
}
