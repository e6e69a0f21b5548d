package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/config"
)

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	asJSON, _ := root.PersistentFlags().GetBool("json")
	return report(stderr, err, asJSON)
}

// remote says which server a verb speaks to and how its answer is printed.
type remote struct {
	url, keyFile, dataDir string
	json                  bool
}

func newRoot() *cobra.Command {
	r := &remote{}
	root := &cobra.Command{
		Use:   "curfew",
		Short: "End sessions: durably, everywhere, within milliseconds",
		Long: `Curfew ends sessions. An application, an identity provider or an operator says that a session, or everything of a user, is over; Curfew
writes that down once, every service refuses the session from its own memory, and every open tab signs itself out.

Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 server unreachable, or try again; 4 session revoked; 5 session undetermined;
6 refused by the server; 7 stored, but not everybody whom it should reach has confirmed; 8 and 9 what 'curfew audit verify' has found;
10 nothing is done yet: a second person has to approve it.`,
		SilenceUsage: true, SilenceErrors: true,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return helped(cmd, err) })
	f := root.PersistentFlags()
	f.StringVar(&r.url, "url", envOr("CURFEW_URL", "http://127.0.0.1:7080"), "server to speak to (CURFEW_URL)")
	f.StringVar(&r.keyFile, "api-key-file", os.Getenv("CURFEW_API_KEY_FILE"), "file with the API key (CURFEW_API_KEY_FILE, or the key itself in CURFEW_API_KEY); default <data-dir>/admin.key")
	f.BoolVar(&r.json, "json", false, "print JSON")
	root.AddCommand(newServe(r), newRevoke(r), newApprove(r), newCheck(r), newEvents(r), newExplain(r), newExport(r), newReceipt(r), newImport(r), newBackup(r), newRestore(r), newParked(r), newAudit(r), newReplay(r), newState(r), newDiff(r), newExposure(r), newKeys(r), newDemo(r), newReplicas(r), newSessions(r), newDoctor(r), newHealth(r), newVersion(r))
	return root
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// addDataDir gives a verb the flag by which it finds the admin key.
func (r *remote) addDataDir(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.dataDir, "data-dir", envOr("CURFEW_DATA_DIR", config.Default().DataDir), "where curfew serve keeps the first admin key (CURFEW_DATA_DIR)")
}

// call makes one call of the API, with a client of its own. in may be nil; out is where the answer goes.
func (r *remote) call(cmd *cobra.Command, method, path string, in, out any) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Call(cmd.Context(), method, path, nil, in, out)
}

// client returns a client with the key from CURFEW_API_KEY, --api-key-file or the data folder.
func (r *remote) client() (*apiclient.Client, error) {
	key := os.Getenv("CURFEW_API_KEY")
	path := r.keyFile
	if path == "" {
		path = server.AdminKeyPath(r.dataDir)
	}
	if key == "" || r.keyFile != "" {
		var err error
		if key, err = apiclient.ReadKeyFile(path); err != nil {
			return nil, hinted{fmt.Errorf("%w: %w", apiclient.ErrNoKey, err), "give --api-key-file, or CURFEW_API_KEY, or the --data-dir of curfew serve"}
		}
	}
	c, err := apiclient.New(r.url, key)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// untilInterrupted turns the end of a verb that goes on until it is interrupted into success.
func untilInterrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// printJSON writes one line of JSON.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printIndented writes JSON for people.
func printIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// timeOf reads the value of a flag.
func timeOf(flag, value string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return t, usageError{fmt.Errorf("%s must be an RFC 3339 time such as 2026-01-02T15:04:05.678Z", flag)}
	}
	return t, nil
}

// given are those parameters that have a value.
func given(parameters map[string]string) url.Values {
	query := url.Values{}
	for name, v := range parameters {
		if v != "" {
			query.Set(name, v)
		}
	}
	return query
}

// oneFile takes the name of a file.
func oneFile(example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if cobra.ExactArgs(1)(cmd, args) != nil {
			return usageError{fmt.Errorf("give one file: %s %s", cmd.CommandPath(), example)}
		}
		return nil
	}
}

// noArgs refuses arguments as wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !cmd.HasAvailableSubCommands():
		return helped(cmd, fmt.Errorf("%q: '%s' takes flags and no arguments", args[0], cmd.CommandPath()))
	}
	err := usageError{fmt.Errorf("unknown command %q for '%s'", args[0], cmd.CommandPath())}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return hinted{err, fmt.Sprintf("did you mean '%s %s'?", cmd.CommandPath(), near[0])}
	}
	return helped(cmd, err.err)
}

// helped is wrong usage, with where the right one stands.
func helped(cmd *cobra.Command, err error) error {
	return hinted{usageError{err}, fmt.Sprintf("see '%s --help'", cmd.CommandPath())}
}
