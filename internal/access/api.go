package access

import (
	"errors"
	"net/http"
	"strings"

	"github.com/curfewhq/curfew/internal/problem"
)

// Routes adds the management of keys to mux: POST and GET /v1/keys, DELETE /v1/keys/{id}, all with scope admin.
func (s *Store) Routes(mux *http.ServeMux, onRefuse func(code string)) {
	mux.Handle("POST /v1/keys", s.Guard(ScopeAdmin, onRefuse, http.HandlerFunc(s.handleCreate)))
	mux.Handle("GET /v1/keys", s.Guard(ScopeAdmin, onRefuse, http.HandlerFunc(s.handleList)))
	mux.Handle("DELETE /v1/keys/{id}", s.Guard(ScopeAdmin, onRefuse, http.HandlerFunc(s.handleRevoke)))
}

// Created is the answer to a creation, the only place where a key's text appears.
type Created struct {
	Key
	Text string `json:"key"`
}

func (s *Store) handleCreate(w http.ResponseWriter, r *http.Request) {
	body, p := problem.ReadBody(w, r)
	if p.Status != 0 {
		p.Write(w)
		return
	}
	var q Request
	if err := problem.DecodeStrict(body, &q); err != nil {
		problem.New(http.StatusBadRequest, "malformed_body", err.Error()).Write(w)
		return
	}
	if err := q.Validate(); err != nil {
		p := problem.New(http.StatusUnprocessableEntity, "invalid_request", strings.ReplaceAll(err.Error(), "\n", "; "))
		p.Write(w)
		return
	}
	key, text, err := s.Create(r.Context(), q)
	if err != nil {
		unavailable().Write(w)
		return
	}
	problem.JSON(w, http.StatusCreated, Created{Key: key, Text: text.Reveal()})
}

func (s *Store) handleList(w http.ResponseWriter, _ *http.Request) {
	problem.JSON(w, http.StatusOK, map[string]any{"keys": s.List()})
}

func (s *Store) handleRevoke(w http.ResponseWriter, r *http.Request) {
	key, err := s.Revoke(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, ErrNoKey):
		problem.New(http.StatusNotFound, "no_such_key", ErrNoKey.Error()).Write(w)
	case err != nil:
		unavailable().Write(w)
	default:
		problem.JSON(w, http.StatusOK, key)
	}
}

func unavailable() problem.Problem {
	return problem.Unavailable("keys_unavailable", "The keys couldn't be read or written: is NATS up? Ask 'curfew doctor'.", 1e9)
}
