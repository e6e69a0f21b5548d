package upkeep

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/backup"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

const (
	// chunkTimeout bounds each write of a backup. The NATS server gives up on who takes nothing for 5 s.
	chunkTimeout = 10 * time.Second
	// lookTimeout bounds the look for the streams before the answer begins.
	lookTimeout = 5 * time.Second
)

// errKeyRevoked ends a backup whose API key has been revoked meanwhile.
var errKeyRevoked = errors.New("the API key of the backup was revoked")

func (s *Service) handleBackup(w http.ResponseWriter, r *http.Request) {
	query, ok := s.query(w, r, "all")
	if !ok {
		return
	}
	all := query.Get("all") == "true"
	if query.Has("all") && !all && query.Get("all") != "false" {
		s.refuse(w, "all", "must be true or false")
		return
	}
	select {
	case s.backing <- struct{}{}:
		defer func() { <-s.backing }()
	default:
		s.answer(w, problem.Unavailable("backup_busy", "Another backup is being written: take this one when that is done.", chunkTimeout))
		return
	}
	looking, cancel := context.WithTimeout(r.Context(), lookTimeout)
	streams, err := s.cfg.Bus.Backed(looking, all)
	cancel()
	if err != nil {
		s.unavailable(w, r, err, problem.Unavailable("backup_unavailable", "The streams can't be reached: nothing was written. 'curfew doctor' tells why.", tryAgain))
		return
	}
	key, _ := access.KeyFrom(r.Context())
	log := s.cfg.Log.WithField(telemetry.FieldKey, key.ID).WithField("streams", len(streams))
	out := &stream{w: w, ctl: http.NewResponseController(w), live: func() bool { return s.cfg.Keys.Live(key.ID) }}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Cache-Control", "no-store")
	_, err = backup.Write(r.Context(), s.cfg.Bus, streams, out)
	if err != nil && out.written == 0 && r.Context().Err() == nil {
		s.unavailable(w, r, err, problem.Unavailable("backup_unavailable", "No backup can be begun: NATS refused it or didn't answer. May this server's user publish on $JS.API.STREAM.SNAPSHOT.> and $JS.SNAPSHOT.ACK.>? The log tells more.", tryAgain))
		return
	}
	if err != nil {
		if r.Context().Err() == nil {
			log.WithError(err).Warn("a backup was cut off")
		}
		app.CutOff()
	}
	log.WithField("bytes", out.written).Info("a backup was taken")
}

// stream writes to a caller that may be slow, or gone.
type stream struct {
	w       http.ResponseWriter
	ctl     *http.ResponseController
	live    func() bool
	written int64
}

func (o *stream) Write(p []byte) (int, error) {
	if !o.live() {
		return 0, errKeyRevoked
	}
	if err := o.ctl.SetWriteDeadline(time.Now().Add(chunkTimeout)); err != nil {
		return 0, err
	}
	n, err := o.w.Write(p)
	o.written += int64(n)
	return n, err
}
