package upkeep

import (
	"errors"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// parkedFault maps what went wrong with a parked message to an answer, in this one place.
func (s *Service) parkedFault(w http.ResponseWriter, r *http.Request, err error) {
	const again = " It stays parked: try again; what was stored isn't stored twice within 10 minutes."
	switch {
	case errors.Is(err, bus.ErrNotParked):
		s.answer(w, problem.New(http.StatusNotFound, "parked_unknown", "Nothing is parked at this position: it was put back or dropped, has expired after 90 days, or never was. 'curfew parked ls' lists what is."))
	case errors.Is(err, bus.ErrNoWayBack):
		s.answer(w, problem.New(http.StatusConflict, "parked_no_way_back", "The message doesn't tell a topic and stream that it can be put back to, so it wasn't parked by Curfew. Look at it with 'curfew parked show', and drop it."))
	case errors.Is(err, bus.ErrUnknownOutcome):
		s.unavailable(w, r, err, problem.Unavailable("outcome_unknown", "The stream didn't acknowledge in time, so it is unknown whether it was put back."+again, tryAgain))
	case errors.Is(err, bus.ErrFull):
		s.unavailable(w, r, err, problem.Unavailable("ledger_full", "The stream that it came from is full: give it more room (disk, or the stream's MaxBytes); 'curfew doctor' shows both."+again, 5*time.Second))
	case errors.Is(err, bus.ErrNotStored):
		s.unavailable(w, r, err, problem.Unavailable("not_stored", "The stream that it came from can't be reached or refused it."+again, tryAgain))
	default:
		s.unavailable(w, r, err, problem.Unavailable("parked_unavailable", "The stream of parked messages can't be reached: 'curfew doctor' tells why. What was asked for may have been done in part, and can be asked for again.", tryAgain))
	}
}

// audit is the log of what an operator has done.
func (s *Service) audit(r *http.Request, position uint64) logrus.FieldLogger {
	key, _ := access.KeyFrom(r.Context())
	return s.cfg.Log.WithField(telemetry.FieldKey, key.ID).WithField(telemetry.FieldPosition, position)
}
