package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/latency"
	"github.com/curfewhq/curfew/cmd/curfew/sampleapp"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/telemetry"
)

type demoOptions struct {
	listen string
	bench  bool
	rounds int
}

func newDemo(r *remote) *cobra.Command {
	o := demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start everything on loopback, with a page to sign in and out on",
		Long: `Start the services on loopback over a ledger in a temporary folder, and a small application: sign in as a sample user in several tabs, log out here,
on the other devices or everywhere, and watch the tabs sign out. Prints one line per event with its measured latencies.

With --bench it opens no page but measures publish → acknowledged, → applied by a replica, → shown to a tab, next to a bare publish to JetStream.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd, r, o) },
	}
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:7090", "address of the page; loopback only")
	cmd.Flags().BoolVar(&o.bench, "bench", false, "measure latencies and exit")
	cmd.Flags().IntVar(&o.rounds, "rounds", 2000, "how many revocations --bench measures")
	return cmd
}

func demo(cmd *cobra.Command, r *remote, o demoOptions) (err error) {
	if !config.Loopback(o.listen) {
		return usageError{errors.New("--listen must be a loopback address: the demonstration asks for no password")}
	}
	dir, err := os.MkdirTemp("", "curfew-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.rounds < 1 {
		return usageError{errors.New("--rounds must be at least 1")}
	}
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.DataDir = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(dir, "data")
	cfg.DrainWindow = 200 * time.Millisecond
	if o.bench {
		return bench(cmd, r, cfg, o.rounds)
	}
	return demoPage(cmd, r, cfg, o.listen)
}

// demoPage runs the services and the page until the command's context ends.
func demoPage(cmd *cobra.Command, r *remote, cfg config.Config, addr string) error {
	log, err := telemetry.NewLogger(cmd.ErrOrStderr(), "auto", "warning")
	if err != nil {
		return err
	}
	// The page's address is part of the server's configuration, so it is bound first.
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return hinted{fmt.Errorf("listen on %s: %w", addr, err), "choose another address with --listen, such as 127.0.0.1:0"}
	}
	defer func() { _ = listener.Close() }()
	page := listener.Addr().String()
	_, port, err := net.SplitHostPort(page)
	if err != nil {
		return err
	}
	cfg.AllowedOrigins = []string{"http://" + page, "http://localhost:" + port}

	latencies := sampleapp.NewLatencies(linePrinter(cmd.OutOrStdout(), r.json))
	defer latencies.Close()
	s, stop, err := startDemo(cmd.Context(), cfg, server.Options{Log: log, Version: thisBuild().Version, OnShown: latencies.Shown})
	if err != nil {
		return untilInterrupted(err)
	}
	defer stop()
	defer s.Replica().OnApplied(latencies.Applied)()
	return servePage(cmd, r, log, s, listener, latencies, cfg.DataDir)
}

// linePrinter returns what prints one line per event. Lines of several events don't mix.
func linePrinter(out io.Writer, asJSON bool) func(sampleapp.Line) {
	var mu sync.Mutex
	return func(l sampleapp.Line) {
		mu.Lock()
		defer mu.Unlock()
		if asJSON {
			_ = printJSON(out, l)
			return
		}
		fmt.Fprintln(out, l)
	}
}

// servePage serves the sample application until the command's context ends.
func servePage(cmd *cobra.Command, r *remote, log *logrus.Logger, s *server.Server, l net.Listener, latencies *sampleapp.Latencies, dataDir string) error {
	client, err := demoClient(cmd.Context(), s)
	if err != nil {
		return err
	}
	defer client.Close()
	sample, err := sampleapp.New(sampleapp.Config{
		API: client, APIURL: s.URL(), Host: l.Addr().String(), Replica: s.Replica(), Tabs: s.Fanout().Tabs, OnPublish: latencies.Published,
	})
	if err != nil {
		return err
	}
	defer func() { _ = sample.Close() }()
	page, err := app.ListenHTTP(app.HTTPConfig{Listener: l, Handler: sample.Handler(), Log: log})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = page.Stop(ctx)
	}()
	if r.json {
		err = printJSON(cmd.OutOrStdout(), map[string]string{"page": "http://" + page.Addr(), "api": s.URL(), "admin": s.AdminURL(), "data_dir": dataDir})
	} else {
		printWelcome(cmd.OutOrStdout(), page.Addr(), s, dataDir)
	}
	if err != nil {
		return err
	}
	select {
	case <-cmd.Context().Done():
		return nil
	case err := <-s.Failed():
		return err
	case err := <-page.Failed():
		return err
	}
}

func printWelcome(out io.Writer, page string, s *server.Server, dataDir string) {
	fmt.Fprintf(out, `Open http://%s in several tabs, and once more in a private window, sign in, and log out in one of them.

API      %s
console  %s, with the key in %s
health   %s/readyz
command  curfew events tail --url %s --data-dir %s

Milliseconds after the logout was called: stored (acknowledged to the application), applied (refused by the service), shown (acknowledged by the tabs).
`, page, s.URL(), s.ConsoleURL(), s.AdminKeyFile(), s.AdminURL(), s.URL(), dataDir)
}

// startDemo starts the services; stop takes them down again.
func startDemo(ctx context.Context, cfg config.Config, opts server.Options) (*server.Server, func(), error) {
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := server.Start(starting, cfg, opts)
	if err != nil {
		return nil, nil, err
	}
	return s, func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := s.Stop(stopping); err != nil {
			opts.Log.WithError(err).Warn("not everything stopped")
		}
	}, nil
}

// demoClient returns a client with a key that may do no more than an application needs.
func demoClient(ctx context.Context, s *server.Server) (*apiclient.Client, error) {
	_, text, err := s.Keys().Create(ctx, access.Request{Name: "sample application", Tenant: "default", Scopes: []access.Scope{access.ScopePublish}})
	if err != nil {
		return nil, err
	}
	return apiclient.New(s.URL(), text.Reveal())
}

func bench(cmd *cobra.Command, r *remote, cfg config.Config, rounds int) error {
	log := logrus.New()
	log.SetOutput(cmd.ErrOrStderr())
	log.SetLevel(logrus.WarnLevel)
	s, stop, err := startDemo(cmd.Context(), cfg, server.Options{Log: log, Version: thisBuild().Version})
	if err != nil {
		return err
	}
	defer stop()
	client, err := demoClient(cmd.Context(), s)
	if err != nil {
		return err
	}
	defer client.Close()
	report, err := latency.Measure(cmd.Context(), latency.Config{Server: s, API: client, Rounds: rounds})
	if err != nil {
		return err
	}
	if r.json {
		return printJSON(cmd.OutOrStdout(), report)
	}
	return report.Print(cmd.OutOrStdout())
}
