package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/services/replay"
	"github.com/curfewhq/curfew/services/replay/target"
)

// targetText is a target as --to takes it.
func targetText(s target.Spec) string {
	for _, of := range []string{s.Topic, s.URL, s.Name, s.Group} {
		if of != "" {
			return string(s.Kind) + "=" + shown(of)
		}
	}
	return string(s.Kind)
}

func printPlan(w io.Writer, p replay.Plan) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	about := ""
	if p.Estimated {
		about = "about "
	}
	fmt.Fprintf(t, "to\t%s\n", targetText(p.Target))
	fmt.Fprintf(t, "tenant\t%s\n", p.Filter.Whose())
	fmt.Fprintf(t, "events\t%d\n", p.Events)
	if p.Events > 0 {
		fmt.Fprintf(t, "from\tposition %d, %s\n", p.First, instant(p.FirstStored))
		fmt.Fprintf(t, "to\tposition %d, %s\n", p.Last, instant(p.LastStored))
	}
	fmt.Fprintf(t, "users\t%s%d\n", about, p.Users)
	fmt.Fprintf(t, "sessions\t%s%d\n", about, p.Sessions)
	tabs := ""
	if !p.OpenTabsExact {
		tabs = " (see the notes)"
	}
	fmt.Fprintf(t, "open tabs\t%d%s\n", p.OpenTabs, tabs)
	fmt.Fprintf(t, "expected time\t%v at %d events/s\n", time.Duration(p.ExpectedSeconds*float64(time.Second)).Round(100*time.Millisecond), p.Rate)
	if p.Replayed > 0 {
		fmt.Fprintf(t, "copies among them\t%d\n", p.Replayed)
	}
	if p.WebhookSecret != "" {
		fmt.Fprintf(t, "signed with\t%s\n", p.WebhookSecret)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(t, "note\t%s\n", n)
	}
	return t.Flush()
}

func printReplays(w io.Writer, list []replay.Replay) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d sent\n", r.ID, r.CreatedAt.Format(time.RFC3339), r.State, targetText(r.Target), r.Sent)
	}
	return t.Flush()
}

func printReplay(w io.Writer, r replay.Replay) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("replay", "%s", r.ID)
	line("state", "%s", r.State)
	line("to", "%s", targetText(r.Target))
	line("tenant", "%s", r.Filter.Whose())
	line("asked for", "%s by key %s of %s", instant(r.CreatedAt), r.KeyID, r.KeyTenant)
	if r.Process != "" {
		line("run by", "%s, %d times", shown(r.Process), r.Runs)
	}
	if !r.EndedAt.IsZero() {
		line("ended", "%s", instant(r.EndedAt))
	}
	if r.CancelledBy != "" {
		line("cancelled by", "key %s", r.CancelledBy)
	}
	if r.ResumedBy != "" {
		line("resumed by", "key %s", r.ResumedBy)
	}
	if r.Target.Kind == target.KindReplicas {
		for _, one := range r.Result.Replicas {
			line("replica", "%s", replicaText(one))
		}
	} else {
		line("sent", "%d events, up to position %d of %d", r.Sent, r.Position, r.To)
	}
	if r.Unreadable > 0 {
		line("not sent", "%d messages that this version can't read", r.Unreadable)
	}
	if r.Result.File != "" {
		line("file", "%s, %d bytes %s", r.Result.File, r.Result.Bytes, r.Result.SHA256)
	}
	if r.Result.Key != "" {
		line("redis", "XRANGE %s - +", r.Result.Key)
	}
	if r.Target.Kind == target.KindTabs {
		line("tabs told", "%d (%d answers of gateways are missing)", r.Result.TabsTold, r.Result.GatewaysMissed)
	}
	if r.Error != "" {
		line("because", "%s", note(r.Error))
	}
	if r.Next != "" {
		line("next", "%s", r.Next)
	}
	return t.Flush()
}

func replicaText(r target.Rebuilt) string {
	switch {
	case r.State == "done" && r.Same:
		return fmt.Sprintf("%s has read the ledger anew in %d ms, and held the same before (digest %.16s… at position %d)", shown(r.Name), r.TookMS, r.Digest, r.Position)
	case r.State == "done":
		return fmt.Sprintf("%s has read the ledger anew in %d ms, and held SOMETHING ELSE before: it lacked something, and has it now, or it keeps what the ledger has lost, if its digest isn't that of the others (digest now %.16s… at position %d)", shown(r.Name), r.TookMS, r.Digest, r.Position)
	}
	return fmt.Sprintf("%s: %s %s", shown(r.Name), r.State, note(r.Error))
}

// followEvery is how often a replay is asked about, and tellEvery how often a line is written where there is no terminal.
const (
	followEvery = 300 * time.Millisecond
	tellEvery   = 5 * time.Second
)

// followReplay shows how far a replay is until it is over: by a bar on a terminal, by lines elsewhere, and as JSON by its last record alone.
func followReplay(cmd *cobra.Command, r *remote, c *apiclient.Client, now replay.Replay) error {
	show := progress(cmd.ErrOrStderr(), r.json)
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		show(now)
		switch now.State {
		case replay.StateDone, replay.StateCancelled, replay.StateFailed:
			return endOfReplay(cmd, r, now)
		}
		select {
		case <-cmd.Context().Done():
			return leftAlone(now)
		case <-tick.C:
		}
		next, err := replayStatus(cmd.Context(), c, now.ID)
		switch {
		case cmd.Context().Err() != nil:
			return leftAlone(now)
		case errors.Is(err, apiclient.ErrUnreachable):
			return hinted{fmt.Errorf("the replay can't be followed: %w", err), "another process, or the same one once it is back, goes on with it: curfew replay status " + now.ID + " --follow"}
		case err != nil:
			return err
		}
		next.WebhookSecret = now.WebhookSecret // told once
		now = next
	}
}

// leftAlone says that a replay goes on.
func leftAlone(now replay.Replay) error {
	return hinted{fmt.Errorf("%w: the replay goes on without this command", errInterrupted), fmt.Sprintf("curfew replay status %s --follow, or curfew replay cancel %s", now.ID, now.ID)}
}

func endOfReplay(cmd *cobra.Command, r *remote, now replay.Replay) error {
	var err error
	if r.json {
		err = printJSON(cmd.OutOrStdout(), now)
	} else {
		err = printReplay(cmd.OutOrStdout(), now)
	}
	if err == nil && now.State != replay.StateDone {
		err = hinted{fmt.Errorf("the replay is %s: it came to position %d of %d", now.State, now.Position, now.To), now.Next}
	}
	return err
}

// progress returns what shows how far a replay is.
func progress(w io.Writer, quiet bool) func(replay.Replay) {
	if quiet {
		return func(replay.Replay) {}
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return bar(w)
	}
	var told time.Time
	var state replay.ReplayState
	return func(r replay.Replay) {
		if time.Since(told) < tellEvery && r.State == state {
			return
		}
		told, state = time.Now(), r.State
		fmt.Fprintf(w, "%s: %d sent, position %d of %d %s\n", r.State, r.Sent, r.Position, r.To, note(r.Error))
	}
}

// bar is a progress bar over the range. It is drawn each time that the replay was asked about, and so isn't throttled: else the position would be the one of the time before.
func bar(w io.Writer) func(replay.Replay) {
	var b *progressbar.ProgressBar
	return func(r replay.Replay) {
		whole := int64(r.To + 1 - min(r.From, r.To+1))
		if b == nil || b.GetMax64() != whole {
			b = progressbar.NewOptions64(whole, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
		}
		b.Describe(fmt.Sprintf("%s, %d sent %s", r.State, r.Sent, note(r.Error)))
		_ = b.Set64(int64(r.Position - min(max(r.From, 1)-1, r.Position))) // nothing depends on it
	}
}
