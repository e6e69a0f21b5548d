package replay

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/revocation"
)

// tabsFor is how long gateways have to tell of a user's tabs.
const tabsFor = time.Second

// lookAround asks replicas what they say of the session, and gateways for its user's tabs, both at once. What can't be asked is left out, and told in the log.
func (s *Service) lookAround(r *http.Request, of revocation.Session, out *Explanation) {
	if leave := caughtUp(r.Context()); leave != nil {
		leave() // the ledger is read: others needn't wait for who is asked now
	}
	var both sync.WaitGroup
	if s.cfg.AskReplicas != nil {
		both.Go(func() { out.Replicas = s.survey(r.Context(), of) })
	}
	if of.User != "" {
		both.Go(func() { out.Tabs = s.openTabs(r.Context(), of) })
	}
	both.Wait()
	if caller, _ := access.KeyFrom(r.Context()); out.Replicas != nil && !caller.Has(access.ScopeOperator) {
		out.Replicas.Nameless()
	}
}

func (s *Service) survey(ctx context.Context, of revocation.Session) *replicas.Survey {
	waiting, cancel := context.WithTimeout(ctx, replicas.DefaultPatience)
	defer cancel()
	answers, err := s.cfg.AskReplicas(waiting, replicas.Question{Tenant: of.Tenant, Session: of.ID, User: of.User, Device: of.Device, Client: of.Client, AuthTime: of.AuthTime})
	if err != nil {
		s.cfg.Log.WithError(err).Warn("replicas can't be asked what they say of a session that is explained")
		return nil
	}
	var members []replicas.Member
	if s.cfg.Present != nil {
		if members, err = s.cfg.Present(ctx); err != nil {
			s.cfg.Log.WithError(err).Warn("it isn't known which replicas haven't answered")
		}
	}
	all := replicas.SurveyOf(answers, members)
	return &all
}

func (s *Service) openTabs(ctx context.Context, of revocation.Session) *gateways.UserTabs {
	waiting, cancel := context.WithTimeout(ctx, tabsFor)
	defer cancel()
	answer, err := s.cfg.Fleet.Tabs(waiting, of.Tenant, of.User)
	if err != nil {
		s.cfg.Log.WithError(err).Warn("gateways can't be asked for the tabs of a session that is explained")
		return nil
	}
	tabs := gateways.TabsOf(of.User, answer)
	return &tabs
}
