package access

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/curfewhq/curfew/internal/problem"
)

// writeTimeout bounds a change of a key, which isn't called off when the caller goes away.
const writeTimeout = 5 * time.Second

// Routes adds the management of keys to mux: POST and GET /v1/keys, DELETE /v1/keys/{id}, all with scope admin. onRefuse is told the code of
// each refusal; it may be nil.
func (s *Store) Routes(mux *http.ServeMux, onRefuse func(code string)) {
	route := func(pattern string, h func(http.ResponseWriter, *http.Request) problem.Problem) {
		mux.Handle(pattern, s.Guard(ScopeAdmin, onRefuse, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p := h(w, r)
			if p.Status == 0 {
				return
			}
			if onRefuse != nil {
				onRefuse(p.Code)
			}
			p.Write(w)
		})))
	}
	route("POST /v1/keys", s.handleCreate)
	route("GET /v1/keys", s.handleList)
	route("DELETE /v1/keys/{id}", s.handleRevoke)
}

// Created is the answer to a creation, the only place where a key's text appears.
type Created struct {
	Key
	Text string `json:"key"`
}

func (s *Store) handleCreate(w http.ResponseWriter, r *http.Request) problem.Problem {
	body, p := problem.ReadBody(w, r)
	if p.Status != 0 {
		return p
	}
	var q Request
	if err := problem.DecodeStrict(body, &q); err != nil {
		return problem.New(http.StatusBadRequest, "malformed_body", "The body can't be read: "+err.Error()+".")
	}
	if err := q.Validate(); err != nil {
		return problem.New(http.StatusUnprocessableEntity, "invalid_request", "No key was made: "+strings.ReplaceAll(err.Error(), "\n", "; ")+".")
	}
	ctx, cancel := context.WithTimeout(r.Context(), writeTimeout)
	defer cancel()
	key, text, err := s.Create(ctx, q)
	if err != nil {
		return unavailable()
	}
	problem.JSON(w, http.StatusCreated, Created{Key: key, Text: text.Reveal()})
	return problem.Problem{}
}

func (s *Store) handleList(w http.ResponseWriter, _ *http.Request) problem.Problem {
	problem.JSON(w, http.StatusOK, map[string]any{"keys": s.List()})
	return problem.Problem{}
}

func (s *Store) handleRevoke(w http.ResponseWriter, r *http.Request) problem.Problem {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), writeTimeout)
	defer cancel()
	key, err := s.Revoke(ctx, r.PathValue("id"))
	switch {
	case errors.Is(err, ErrNoKey):
		return problem.New(http.StatusNotFound, "no_such_key", "There is no such key: list them with 'curfew keys ls'.")
	case err != nil:
		return unavailable()
	}
	problem.JSON(w, http.StatusOK, key)
	return problem.Problem{}
}

func unavailable() problem.Problem {
	return problem.Unavailable("keys_unavailable", "The keys couldn't be read or written: is NATS up? Ask 'curfew doctor'.", time.Second)
}
