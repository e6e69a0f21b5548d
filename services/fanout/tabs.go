package fanout

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/problem"
)

const (
	// usualTabsTimeout is how long gateways have to tell of a user's tabs, unless the caller says so.
	usualTabsTimeout = time.Second
	shortTabsTimeout = 50 * time.Millisecond
	longTabsTimeout  = 5 * time.Second
)

// handleTabs asks all gateways for the tabs of a user of the key's tenant.
func (s *Service) handleTabs(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	user := r.PathValue("user")
	if fault := events.IDFault(user); fault != "" {
		s.refuse(w, problem.Invalid(problem.Fault{Field: "user", Detail: fault}))
		return
	}
	timeout := usualTabsTimeout
	for name, values := range r.URL.Query() {
		if name != "timeout" {
			s.refuse(w, problem.New(http.StatusBadRequest, "unknown_parameter", "This call knows the parameter timeout only."))
			return
		}
		var err error
		if timeout, err = time.ParseDuration(values[0]); err != nil || len(values) > 1 || timeout < shortTabsTimeout || timeout > longTabsTimeout {
			s.refuse(w, problem.New(http.StatusUnprocessableEntity, "invalid_timeout", "The timeout is one duration from 50ms to 5s, such as 500ms."))
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	answer, err := s.cfg.Fleet.Tabs(ctx, key.Tenant, user)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			s.cfg.Log.WithError(err).Warn("gateways can't be asked: is NATS up?")
		}
		s.refuse(w, problem.Unavailable("gateways_unavailable", "The gateways can't be asked at the moment: try again.", time.Second))
		return
	}
	problem.JSON(w, http.StatusOK, gateways.TabsOf(user, answer))
}
