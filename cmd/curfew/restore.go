package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/curfewhq/curfew/internal/backup"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
)

// restoreFlags are the settings of curfew serve that say where the streams are.
func restoreFlags() []string {
	return []string{"config", "data-dir", "nats-url", "nats-creds-file", "nats-nkey-file", "nats-ca-file", "nats-cert-file", "nats-key-file", "ledger-replicas"}
}

func newRestore(r *remote) *cobra.Command {
	var execute, nothingLost bool
	var o backup.Options
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Bring the ledger back from a backup, while no server runs", Args: oneBackup,
		Long: `Brings a backup back into an empty --data-dir, or with --nats-url into an external NATS: every event at its position, verified, or nothing. It never replaces a ledger that is there.

What the ledger had stored after the backup is lost, and with it logouts that nobody knows any more. So everybody who signed in before the restore must sign in again. If nothing was stored after the backup, because the
server was stopped before anybody could log out, --nothing-lost keeps all of them signed in.

It is a dry run unless --execute.`,
	}
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(all)
	for _, name := range restoreFlags() {
		cmd.Flags().AddFlag(all.Lookup(name))
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "restore; without it the file is only verified")
	cmd.Flags().BoolVar(&nothingLost, "nothing-lost", false, "nothing was stored after the backup: sessions go on")
	cmd.Flags().BoolVar(&o.LedgerOnly, "ledger-only", false, "of a backup with --all, the ledger alone")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := config.Load(cmd.Flags(), os.Environ())
		if err != nil {
			return usageError{err}
		}
		o.Lost = !nothingLost
		f, err := backup.Open(args[0])
		if err == nil {
			defer func() { _ = f.Close() }() // it was only read
			err = f.Verify()
		}
		if err != nil {
			return hinted{fmt.Errorf("%s: %w; nothing was restored", args[0], err), "take another backup, or fetch this one again"}
		}
		place := placeOf(cfg)
		if err := place.free(cmd.Context(), f, o); err != nil {
			return err
		}
		if !execute {
			return printRestore(cmd.OutOrStdout(), r.json, args[0], f, o, place, false)
		}
		if err := place.restore(cmd.Context(), f, o); err != nil {
			if cmd.Context().Err() != nil {
				err = errInterrupted
			}
			return fmt.Errorf("nothing was restored: %w", err)
		}
		return printRestore(cmd.OutOrStdout(), r.json, args[0], f, o, place, true)
	}
	return cmd
}

// place is where streams are restored to.
type place struct {
	cfg bus.Config
	// dir is the folder of an embedded ledger; empty for an external NATS.
	dir string
}

func placeOf(cfg config.Config) place {
	silent := logrus.New()
	silent.SetOutput(io.Discard)
	n := cfg.NATS
	p := place{cfg: bus.Config{
		URL: n.URL, CredsFile: n.CredsFile, NKeyFile: n.NKeyFile, CAFile: n.CAFile, CertFile: n.CertFile, KeyFile: n.KeyFile, Name: "curfew-restore",
		Replicas: cfg.Ledger.Replicas, Log: silent,
	}}
	if n.URL == "" {
		p.dir = filepath.Join(cfg.DataDir, "ledger")
		p.cfg.Embedded.Dir = p.dir + ".restoring"
		// All of it is synced once it is whole, before it takes its place.
		p.cfg.Embedded.SyncInterval = time.Minute
	}
	return p
}

func (p place) String() string {
	if p.dir == "" {
		return "the NATS of --nats-url"
	}
	return p.dir
}

// flag is what has a command find the place. The URL of a NATS may hold a password, and isn't shown.
func (p place) flag() string {
	if p.dir == "" {
		return " --nats-url … as here"
	}
	return " --data-dir " + shown(filepath.Dir(p.dir))
}

// free refuses a place where something is.
func (p place) free(ctx context.Context, f *backup.File, o backup.Options) error {
	if p.dir != "" {
		// An empty folder is one that was made for it.
		if left, err := os.ReadDir(p.dir); exists(p.dir) && (err != nil || len(left) > 0) {
			return hinted{
				fmt.Errorf("%s: there is a ledger, and a restore never replaces one; nothing was done", p.dir),
				fmt.Sprintf("stop curfew serve and put it aside with 'mv %s %s.old', or give another --data-dir", p.dir, p.dir),
			}
		}
		return nil
	}
	b, err := bus.Open(ctx, p.cfg)
	if err != nil {
		return err
	}
	err = occupied(f.Free(ctx, b, o))
	return errors.Join(err, b.Close())
}

// occupied says what to do about streams that are there.
func occupied(err error) error {
	if !errors.Is(err, bus.ErrExists) {
		return err
	}
	return hinted{
		fmt.Errorf("a restore never replaces what is there; nothing was done:\n%w", err),
		"stop each curfew serve, back up what is there with 'nats stream backup CURFEW DIR', and remove it with 'nats stream rm CURFEW', or restore to another NATS or account; with --ledger-only the others may stay",
	}
}

// restore brings the streams back. Those of an embedded ledger are restored beside its place, which they take whole: a restore that is killed leaves a folder that nobody uses, and that the next one begins anew.
func (p place) restore(ctx context.Context, f *backup.File, o backup.Options) error {
	b, err := bus.Open(ctx, p.cfg)
	switch {
	case err == nil:
	case p.dir == "" || errors.Is(err, bus.ErrDirInUse): // by another restore
		return err
	default:
		return errors.Join(err, os.RemoveAll(p.cfg.Embedded.Dir))
	}
	if p.dir != "" {
		err = b.Clear(ctx)
	}
	if err == nil {
		err = occupied(f.Restore(ctx, b, o))
	}
	if err = errors.Join(err, b.Close()); p.dir == "" {
		return err
	}
	if err == nil {
		err = syncAll(p.cfg.Embedded.Dir)
	}
	if err == nil {
		err = os.Rename(p.cfg.Embedded.Dir, p.dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(p.cfg.Embedded.Dir))
	}
	return syncFile(filepath.Dir(p.dir))
}

// syncAll has a folder on the disk, with all that is in it.
func syncAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFile(path)
	})
}

// syncFile has a file on the disk, or the names in a folder.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func printRestore(w io.Writer, asJSON bool, path string, f *backup.File, o backup.Options, to place, executed bool) error {
	if asJSON {
		return printJSON(w, map[string]any{"file": path, "executed": executed, "to": to.String(), "sign_in_again": o.Lost, "streams": f.Streams(o)})
	}
	if executed {
		fmt.Fprintf(w, "%s is restored to %s, and verified:\n", path, to)
	} else {
		fmt.Fprintf(w, "DRY RUN: nothing was restored.\n%s is whole, and would be restored to %s:\n", path, to)
	}
	streams := f.Streams(o)
	if err := printStreams(w, streams); err != nil {
		return err
	}
	fmt.Fprintln(w, notInABackup(streams))
	if o.Lost {
		fmt.Fprintf(w, "What was stored after %s is lost. Logouts may be among it, so everybody who signed in before the restore must sign in again (--nothing-lost if nothing was).\n", instant(f.Manifest.Made))
	}
	next := "start it: curfew serve" + to.flag()
	if !executed {
		next = fmt.Sprintf("to restore it: curfew restore %s%s --execute, and the other flags if you gave any", path, to.flag())
	}
	_, err := fmt.Fprintln(w, next)
	return err
}
