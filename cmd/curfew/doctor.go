package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/config"
)

func newDoctor(r *remote) *cobra.Command {
	var admin string
	var show bool
	var about sessionFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with a deployment, and say what to do",
		Long: `Look at the configuration (the environment, and the file of CURFEW_CONFIG), the API key, the running server, its replica, its streams and its clock, and the replicas of all other processes.
With --session, or --user, also say of a session what ends it, which replicas know, and which of its tabs are open.
Exit code 0 if nothing fails.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			patient, err := about.patient()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Second)
			defer cancel()
			findings := examineConfig()
			findings = append(findings, examineKey(ctx, r))
			findings = append(findings, examineServer(ctx, admin)...)
			if about.given() {
				findings = append(findings, examineSession(ctx, r, patient)...)
			} else {
				findings = append(findings, examineFleet(ctx, r)...)
			}
			return printFindings(cmd, r, findings, show)
		},
	}
	r.addDataDir(cmd)
	cmd.Flags().StringVar(&admin, "admin-url", envOr("CURFEW_ADMIN_URL", "http://127.0.0.1:7081"), "the server's admin listener (CURFEW_ADMIN_URL)")
	about.add(cmd)
	cmd.Flags().BoolVar(&show, "show-config", false, "print the configuration member by member")
	return cmd
}

func examineConfig() []server.Finding {
	cfg, err := config.Load(nil, os.Environ())
	if err == nil {
		err = cfg.Validate()
	}
	if err != nil {
		return []server.Finding{{Name: "configuration", Status: "fail", Detail: err.Error(), Hint: "see 'curfew serve --help'"}}
	}
	out := []server.Finding{{Name: "configuration", Status: "ok", Detail: "valid"}}
	if cfg.DangerouslyFailOpen {
		out = append(out, server.Finding{Name: "fail open", Status: "warn", Detail: "undetermined callers pass", Hint: "unset dangerously_fail_open unless it is meant"})
	}
	return out
}

// examineKey uses the key for a call that every process answers, whatever its roles. Without the right to it the key is a good one all the same.
func examineKey(ctx context.Context, r *remote) server.Finding {
	c, err := r.client()
	if err != nil {
		return server.Finding{Name: "api key", Status: "fail", Detail: err.Error(), Hint: hintOf(err)}
	}
	defer c.Close()
	err = c.Call(ctx, http.MethodGet, "/v1/keys", nil, nil, nil)
	var refused *apiclient.Error
	if err == nil || errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		return server.Finding{Name: "api key", Status: "ok", Detail: "works at " + r.url}
	}
	return server.Finding{Name: "api key", Status: "fail", Detail: err.Error(), Hint: hintOf(err)}
}

func examineServer(ctx context.Context, admin string) []server.Finding {
	c, err := apiclient.New(admin, "")
	if err != nil {
		return []server.Finding{{Name: "server", Status: "fail", Detail: err.Error(), Hint: "give --admin-url"}}
	}
	defer c.Close()
	var answer server.Findings
	if err := c.Call(ctx, http.MethodGet, "/doctor", nil, nil, &answer); err != nil {
		return []server.Finding{{Name: "server", Status: "fail", Detail: err.Error(), Hint: "start one with 'curfew serve', or give --admin-url"}}
	}
	return answer.Findings
}

func printFindings(cmd *cobra.Command, r *remote, findings []server.Finding, show bool) error {
	out := cmd.OutOrStdout()
	failed := 0
	for _, f := range findings {
		if f.Status == "fail" {
			failed++
		}
	}
	if r.json {
		answer := map[string]any{"findings": findings}
		if show {
			answer["config"] = describeConfig()
		}
		if err := printJSON(out, answer); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			fmt.Fprintf(out, "%-4s  %s: %s\n", f.Status, f.Name, f.Detail)
			if f.Hint != "" {
				fmt.Fprintf(out, "      hint: %s\n", f.Hint)
			}
		}
		if show {
			for _, line := range describeConfig() {
				fmt.Fprintln(out, line)
			}
		}
	}
	if failed > 0 {
		return coded(exitFailed)
	}
	return nil
}

// describeConfig is nil for a configuration that can't be read, which is a finding of its own.
func describeConfig() []string {
	cfg, err := config.Load(nil, os.Environ())
	if err != nil {
		return nil
	}
	return config.Describe(cfg)
}
