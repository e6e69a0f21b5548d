package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/internal/backup"
	"github.com/curfewhq/curfew/internal/bus"
)

func newBackup(r *remote) *cobra.Command {
	var all, force bool
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write a backup of the ledger, while the server runs", Args: oneBackup,
		Long: `Writes JetStream's own snapshot of the ledger to a file: every event at its position. With --all also what else a deployment can't make anew: API keys (hashed), the deployment's secret, sessions, receipts, settings and
parked messages. The file holds ids, and with --all secrets: keep it as you keep a database dump. Whatever is stored after it is not in it. It takes a key with the scope operator.

For another version, or only some events, 'curfew export' writes events as JSON lines.`,
	}
	r.addDataDir(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also API keys, the deployment's secret, sessions, receipts, settings and parked messages")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		defer c.Close()
		path := "/v1/backup"
		if all {
			path += "?all=true"
		}
		var m backup.Manifest
		// The old file is replaced by a whole one only.
		err = replaceFile(args[0], force, func(w io.Writer) error { return c.Bytes(cmd.Context(), path, w) }, func(partial string) (err error) {
			m, err = verifyBackup(partial)
			return err
		})
		if err != nil {
			return err
		}
		return printBackup(cmd.OutOrStdout(), r.json, args[0], m)
	}
	cmd.AddCommand(newBackupVerify(r))
	return cmd
}

func newBackupVerify(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Tell whether a backup is whole and as it was written", Args: oneBackup,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := verifyBackup(args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return printBackup(cmd.OutOrStdout(), r.json, args[0], m)
		},
	}
}

func oneBackup(cmd *cobra.Command, args []string) error {
	return oneFile("curfew-backup.zip")(cmd, args)
}

func verifyBackup(path string) (backup.Manifest, error) {
	f, err := backup.Open(path)
	if err != nil {
		return backup.Manifest{}, err
	}
	err = f.Verify()
	return f.Manifest, errors.Join(err, f.Close())
}

func printBackup(w io.Writer, asJSON bool, path string, m backup.Manifest) error {
	if asJSON {
		return printJSON(w, m)
	}
	if _, err := fmt.Fprintf(w, "%s: %s, made %s by NATS %s\n", path, m.Format, instant(m.Made), m.Server); err != nil {
		return err
	}
	return printStreams(w, m.Streams)
}

func printStreams(w io.Writer, streams []backup.Stream) error {
	only := true
	for _, s := range streams {
		state, err := s.Read()
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d messages", state.Messages)
		if s.Name == bus.LedgerStream {
			what = fmt.Sprintf("%d events", s.Events)
		} else {
			only = false
		}
		fmt.Fprintf(w, "  %-22s %s up to position %d, %d bytes, sha256 %s\n", s.Name, what, state.Last, s.Bytes, s.SHA256)
	}
	if only {
		fmt.Fprintln(w, "  not among them: API keys, the deployment's secret, sessions, receipts, settings and parked messages (curfew backup --all takes them)")
	}
	return nil
}

// notInABackup is what no backup holds, and what that means.
func notInABackup(streams []backup.Stream) string {
	var b strings.Builder
	if len(streams) == 1 {
		b.WriteString("API keys, the deployment's secret, sessions, receipts, settings and parked messages aren't restored: the first start makes a new admin key, applications need new keys, and lists of sessions begin empty. ")
	} else {
		b.WriteString("API keys are restored as hashes: use those that you have. Those that were revoked since the backup are good again: revoke them once more (curfew keys ls). So are, for hours, sessions of the console that were signed out since. Replays that waited or ran when the backup was made go on, whatever became of them since: cancel those that shall not (curfew replay status). ")
	}
	b.WriteString("Open tabs come back by themselves; tickets that were issued before are refused.")
	return b.String()
}

// exists reports whether there is something at a path; that can't be looked at, too.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
