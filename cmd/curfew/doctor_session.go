package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/services/gate"
	"github.com/curfewhq/curfew/services/sessions"
)

// patient is a session that doctor is asked about, and what was found out of it so far.
type patient struct {
	session, user, device, client string
	// authTime is zero while it isn't known.
	authTime time.Time
	revoked  bool
}

// sessionFlags are doctor's for one session.
type sessionFlags struct{ session, user, authTime string }

func (f *sessionFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.session, "session", "", "look at this session: what ends it, which replicas know, which tabs are open")
	cmd.Flags().StringVar(&f.user, "user", "", "the session's user; alone, look at the user")
	cmd.Flags().StringVar(&f.authTime, "auth-time", "", "when the user signed in, RFC 3339; asked of the registry if it is left out")
}

func (f *sessionFlags) given() bool { return f.session != "" || f.user != "" || f.authTime != "" }

// patient reads the flags.
func (f *sessionFlags) patient() (*patient, error) {
	p := &patient{session: f.session, user: f.user}
	if f.authTime == "" {
		return p, nil
	}
	if f.session == "" {
		return nil, usageError{errors.New("--auth-time is that of a session: give --session too")}
	}
	var err error
	p.authTime, err = timeOf("--auth-time", f.authTime)
	return p, err
}

// examineSession tells what is known of a session, each from where it is known.
func examineSession(ctx context.Context, r *remote, p *patient) []server.Finding {
	c, err := r.client()
	if err != nil {
		return nil // told already
	}
	defer c.Close()
	out := []server.Finding{p.examineRegistry(ctx, c)}
	if p.session != "" {
		out = append(out, p.examineDecision(ctx, c))
	}
	out = append(out, p.examineReplicas(ctx, c)...)
	return append(out, p.examineTabs(ctx, c))
}

// unanswered is the finding of a call that failed.
func unanswered(name string, err error) server.Finding {
	f := server.Finding{Name: name, Status: "warn", Detail: "couldn't be asked: " + err.Error(), Hint: hintOf(err)}
	var refused *apiclient.Error
	if errors.As(err, &refused) && refused.Code == "no_such_call" {
		f.Hint = "that server hasn't the role for it: give --url of one that has"
	}
	return f
}

// examineRegistry fills in what the caller has left out.
func (p *patient) examineRegistry(ctx context.Context, c *apiclient.Client) server.Finding {
	if p.session == "" {
		return p.examineUser(ctx, c)
	}
	const name = "registry"
	var v sessions.View
	err := c.Call(ctx, http.MethodGet, "/v1/sessions/"+url.PathEscape(p.session), nil, nil, &v)
	var refused *apiclient.Error
	if errors.As(err, &refused) && refused.Code == "session_unknown" {
		return server.Finding{Name: name, Status: "warn", Detail: "the session isn't registered", Hint: "is it the sid of the token, and does the application register sessions (POST /v1/sessions)? revoking it works all the same"}
	}
	if err != nil {
		return unanswered(name, err)
	}
	if p.user != "" && v.User != p.user {
		return server.Finding{Name: name, Status: "fail", Detail: "the session is another user's", Hint: "a logout of this user doesn't end it: look which user the token's sub names"}
	}
	p.user, p.device, p.client = v.User, v.Device, v.Client
	if p.authTime.IsZero() {
		p.authTime = v.AuthTime
	} else if !p.authTime.Equal(v.AuthTime) {
		return server.Finding{Name: name, Status: "warn", Detail: fmt.Sprintf("registered with auth time %s, and asked about with %s", instant(v.AuthTime), instant(p.authTime)),
			Hint: "the token must carry the auth time that registering answered with, as auth_time_ms, and keep it when it is signed again"}
	}
	detail := fmt.Sprintf("%s, %s, begun %s, last seen %s", v.State, v.Name, instant(v.AuthTime), instant(v.LastSeenAt))
	if v.State == sessions.StateEnded {
		detail += fmt.Sprintf(", over by %s", v.Reason)
		if !v.EndedAt.IsZero() {
			detail += " since " + instant(v.EndedAt)
		}
	}
	if endsForIdleness(v) {
		detail += ", ends for idleness at " + instant(v.IdleExpiresAt) + " unless touched"
	}
	return server.Finding{Name: name, Status: "ok", Detail: detail}
}

// examineUser tells of all sessions of a user.
func (p *patient) examineUser(ctx context.Context, c *apiclient.Client) server.Finding {
	var list sessions.List
	if err := c.Call(ctx, http.MethodGet, "/v1/users/"+url.PathEscape(p.user)+"/sessions?limit=1000", nil, nil, &list); err != nil {
		return unanswered("registry", err)
	}
	n := map[sessions.State]int{}
	for _, v := range list.Sessions {
		n[v.State]++
	}
	f := server.Finding{Name: "registry", Status: "ok", Detail: fmt.Sprintf("%d sessions active, %d ended", n[sessions.StateActive], n[sessions.StateEnded])}
	if n[sessions.StateUndetermined] > 0 {
		f.Status, f.Detail, f.Hint = "warn", f.Detail+fmt.Sprintf(", %d undetermined", n[sessions.StateUndetermined]), "the server's replica can't tell just now: see freshness"
	}
	return f
}

// examineDecision asks a gate.
func (p *patient) examineDecision(ctx context.Context, c *apiclient.Client) server.Finding {
	q := gate.Question{Session: p.session, User: p.user, Device: p.device, Client: p.client}
	if !p.authTime.IsZero() {
		q.AuthTime = &p.authTime
	} else {
		q.AllowMissing = append(q.AllowMissing, "auth_time")
	}
	if p.user == "" {
		q.AllowMissing = append(q.AllowMissing, "user")
	}
	var v gate.Verdict
	if err := c.Call(ctx, http.MethodPost, "/v1/check", nil, q, &v); err != nil {
		return unanswered("decision", err)
	}
	f := server.Finding{Name: "decision", Status: "ok", Detail: sentence(v)}
	switch v.State {
	case "revoked":
		p.revoked = true
		f.Hint = "services refuse it; one that doesn't, doesn't check, or checks another sid: compare it with the token's"
	case "active":
		f.Hint = "nothing ends it. If it should be over: was the logout published ('curfew events tail --since 1h'), for this sid, user and tenant, and with a cutoff after its auth time?"
		if len(q.AllowMissing) > 0 {
			f.Status, f.Hint = "warn", "asked without "+strings.Join(q.AllowMissing, " and ")+", so a logout of its user may end it all the same: give "+flagsOf(q.AllowMissing)
		}
	case "undetermined":
		f.Status, f.Hint = "fail", "nobody can tell just now, and services that fail closed refuse it: see freshness"
		if len(q.AllowMissing) > 0 {
			f.Status, f.Hint = "warn", "asked without "+strings.Join(q.AllowMissing, " and ")+", and a cutoff may end it: give "+flagsOf(q.AllowMissing)+"; if it stays so, see freshness"
		}
	}
	return f
}

// examineReplicas asks all that answer, and names those that report and don't.
func (p *patient) examineReplicas(ctx context.Context, c *apiclient.Client) []server.Finding {
	query := given(map[string]string{"session": p.session, "user": p.user, "device": p.device, "client": p.client, "auth_time": stamp(p.authTime)})
	var answer replicas.Survey
	if err := c.Call(ctx, http.MethodGet, "/v1/replicas?"+query.Encode(), nil, nil, &answer); err != nil {
		return []server.Finding{unanswered("replicas", err)}
	}
	return p.judgeReplicas(answer)
}

// judgeReplicas names each replica that isn't as it should be, and says how many know what they should.
func (p *patient) judgeReplicas(answer replicas.Survey) []server.Finding {
	out := []server.Finding{}
	knows := 0
	for _, a := range answer.Replicas {
		switch {
		case !a.Fresh:
			out = append(out, server.Finding{Name: "replica " + a.Name, Status: "fail", Detail: fmt.Sprintf("stale: position %d, %s", a.Position, proof(a.StalenessMS)), Hint: "is NATS reachable from that process? until then it answers undetermined"})
		case p.revoked && a.State != "revoked":
			out = append(out, server.Finding{Name: "replica " + a.Name, Status: "fail", Detail: fmt.Sprintf("doesn't know: it says %s at position %d", a.State, a.Position), Hint: "ask again; if it stays so, restart that process, and keep its log"})
		default:
			knows++
		}
	}
	for _, r := range answer.Silent {
		if r.LeaseEnded {
			out = append(out, server.Finding{Name: "replica " + r.Name, Status: "warn", Detail: fmt.Sprintf("not heard any more, at position %d: it fails closed since %s", r.Position, instant(r.FailsClosedSince)),
				Hint: "is that process gone? then it is forgotten within the hour; if not, is NATS reachable from it?"})
			continue
		}
		out = append(out, server.Finding{Name: "replica " + r.Name, Status: "warn", Detail: fmt.Sprintf("reports, and doesn't answer: it was at position %d at %s", r.Position, instant(r.Heard)), Hint: "ask again"})
	}
	detail := fmt.Sprintf("answers: %d; fresh: %d", len(answer.Replicas), knows)
	if p.revoked {
		detail = fmt.Sprintf("answers: %d; know that it is over: %d", len(answer.Replicas), knows)
	}
	return append(out, server.Finding{Name: "replicas", Status: "ok", Detail: detail + "; services whose replicas don't report (revocationnats.NewPresence) aren't among them: look at curfew_replica_position there"})
}

// examineFleet looks at the replicas of all processes, since one that is away looks well from the others. A key without the right to it, and a server without the role, tell nothing of them.
func examineFleet(ctx context.Context, r *remote) []server.Finding {
	c, err := r.client()
	if err != nil {
		return nil // told already
	}
	defer c.Close()
	var answer replicas.Survey
	err = c.Call(ctx, http.MethodGet, "/v1/replicas", nil, nil, &answer)
	var refused *apiclient.Error
	switch {
	case errors.As(err, &refused) && (refused.Code == "no_such_call" || refused.Code == "api_key_scope"), errors.Is(err, apiclient.ErrUnreachable):
		return nil
	case err != nil:
		return []server.Finding{unanswered("replicas", err)}
	}
	return new(patient).judgeReplicas(answer)
}

// proof says how old the proof of a replica is.
func proof(stalenessMS float64) string {
	if stalenessMS < 0 {
		return "without proof"
	}
	return fmt.Sprintf("proof %.1f s old", stalenessMS/1000)
}

// examineTabs asks all gateways.
func (p *patient) examineTabs(ctx context.Context, c *apiclient.Client) server.Finding {
	if p.user == "" {
		return tabsOfNobody()
	}
	var answer gateways.UserTabs
	if err := c.Call(ctx, http.MethodGet, "/v1/users/"+url.PathEscape(p.user)+"/tabs", nil, nil, &answer); err != nil {
		return unanswered("tabs", err)
	}
	return p.judgeTabs(answer)
}

func tabsOfNobody() server.Finding {
	return server.Finding{Name: "tabs", Status: "warn", Detail: "not looked for: it isn't known whose session it is", Hint: "give --user"}
}

func (p *patient) judgeTabs(answer gateways.UserTabs) server.Finding {
	own, all := 0, 0
	for _, g := range answer.Gateways {
		for _, tab := range g.Tabs {
			all++
			if tab.Session == p.session {
				own++
			}
		}
	}
	f := server.Finding{Name: "tabs", Status: "ok", Detail: fmt.Sprintf("%d of the user's are open", all)}
	if p.session != "" {
		f.Detail = fmt.Sprintf("%d of the session's are open, of %d of the user's", own, all)
	}
	if !answer.Complete {
		f.Status, f.Hint = "warn", "some gateways haven't answered: there may be more"
	} else if p.revoked && own > 0 {
		f.Status, f.Hint = "warn", "a tab that was told is closed within 2 s: look again; one that stays hasn't verified with its application"
	}
	return f
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
