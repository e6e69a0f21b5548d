package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/services/audit"
)

func newAudit(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Hold the ledger against its signed checkpoints", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditVerify(r), newAuditList(r), newAuditKeys(r))
	return cmd
}

func newAuditList(r *remote) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "ls", Short: "List the checkpoints of the ledger", Args: noArgs,
		Long: `Lists the newest checkpoints of the ledger, without looking at their signatures. With --all --json it prints what 'curfew audit verify --checkpoints' takes: kept on another
machine, it shows what a chain alone can't.`,
	}
	r.addDataDir(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all checkpoints, and not only the newest 20")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		defer c.Close()
		signed, err := fetchCheckpoints(cmd.Context(), c)
		if err != nil {
			return err
		}
		if newest := 20; !all && len(signed) > newest {
			signed = signed[len(signed)-newest:]
		}
		if r.json {
			for _, s := range signed {
				if err := printJSON(cmd.OutOrStdout(), listed{Signed: s, Checkpoint: saying(s.Token)}); err != nil {
					return err
				}
			}
			return nil
		}
		return printCheckpoints(cmd.OutOrStdout(), signed)
	}
	return cmd
}

func newAuditKeys(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Print the public keys that checkpoints are signed with", Args: noArgs,
		Long: `Prints the public keys that checkpoints are signed with, as a JWK set, for 'curfew audit verify --key'. Keep them on another machine: they show whether somebody has exchanged the key.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var status audit.Status
			if err := r.call(cmd, http.MethodGet, "/v1/audit", nil, &status); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), status.Keys)
		},
	}
	r.addDataDir(cmd)
	return cmd
}

// listed is a line of JSON. What the token holds is beside it for people.
type listed struct {
	chain.Signed
	Checkpoint *chain.Checkpoint `json:"checkpoint,omitempty"`
}

// saying returns what a token says, whoever has signed it; nil if it can't be read.
func saying(token string) *chain.Checkpoint {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil
	}
	c, err := chain.Decode(signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil
	}
	return &c
}

func printCheckpoints(w io.Writer, signed []chain.Signed) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tTIME\tPOSITION\tEVENTS\tHASH\tCHAIN")
	for _, s := range signed {
		c := saying(s.Token)
		if c == nil {
			fmt.Fprintf(t, "%d\t(can't be read)\n", s.Number)
			continue
		}
		note := ""
		if c.Cause != "" {
			note = " begun: " + string(c.Cause)
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%.16s\t%.8s%s\n", s.Number, instant(c.Time), c.Position, c.Events, c.Hash, c.Chain, note)
	}
	return t.Flush()
}

// fetchCheckpoints returns what the server has, which may be some ten thousand.
func fetchCheckpoints(ctx context.Context, c *apiclient.Client) ([]chain.Signed, error) {
	signed := []chain.Signed{}
	err := c.Lines(ctx, "/v1/audit/checkpoints", func(line []byte) error {
		s, err := parseSigned(line)
		if err == nil {
			signed = append(signed, s)
		}
		return err
	})
	return signed, err
}

func parseSigned(line []byte) (chain.Signed, error) {
	var s chain.Signed
	if err := json.Unmarshal(line, &s); err != nil || s.Number == 0 || s.Token == "" {
		return s, errors.New("not a checkpoint")
	}
	return s, nil
}
