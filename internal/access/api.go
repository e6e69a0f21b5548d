package access

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/internal/problem"
)

// writeTimeout bounds a change of a key, which isn't called off when the caller goes away.
const writeTimeout = 5 * time.Second

// errOperatorsKey is returned when a key without the scope operator would revoke one that has it.
var errOperatorsKey = errors.New("the key is an operator's")

// Routes adds the management of keys to mux: POST and GET /v1/keys, DELETE /v1/keys/{id}. A key with scope admin manages those of its own
// tenant, one with scope operator all. onRefuse is told the code of each refusal; it may be nil.
func (s *Store) Routes(mux *http.ServeMux, onRefuse func(code string)) {
	route := func(pattern string, h func(http.ResponseWriter, *http.Request, Key) problem.Problem) {
		mux.Handle(pattern, s.guard([]Scope{ScopeAdmin, ScopeOperator}, onRefuse, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			by, _ := KeyFrom(r.Context())
			p := h(w, r, by)
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

func (s *Store) handleCreate(w http.ResponseWriter, r *http.Request, by Key) problem.Problem {
	var q Request
	if p := problem.Read(w, r, &q); p.Status != 0 {
		return p
	}
	if err := q.Validate(); err != nil {
		return problem.New(http.StatusUnprocessableEntity, "invalid_request", "No key was made: "+strings.ReplaceAll(err.Error(), "\n", "; ")+".")
	}
	if p := by.mayCreate(q); p.Status != 0 {
		return p
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), writeTimeout)
	defer cancel()
	q.createdBy = by.ID
	key, text, err := s.Create(ctx, q)
	if err != nil {
		return unavailable()
	}
	problem.JSON(w, http.StatusCreated, Created{Key: key, Text: text.Reveal()})
	return problem.Problem{}
}

// mayCreate refuses a key that would be more than the one that asks for it: of another tenant, or with a scope that it lacks itself. The problem
// has status 0 when all is well. q is valid.
func (k Key) mayCreate(q Request) problem.Problem {
	if q.Tenant != k.Tenant && !k.managesAll() {
		return lacks(ScopeOperator, "No key was made: a key with the scope admin makes keys of its own tenant, which is "+k.Tenant+
			". Say 'curfew keys create --tenant "+k.Tenant+"', or use a key with the scope operator.")
	}
	for _, scope := range q.Scopes {
		if !k.Has(scope) {
			return lacks(scope, "No key was made: a key gives only scopes that it has itself, and this one lacks "+string(scope)+
				". Leave it out, or use a key that has it.")
		}
	}
	return problem.Problem{}
}

func (s *Store) handleList(w http.ResponseWriter, _ *http.Request, by Key) problem.Problem {
	keys := slices.DeleteFunc(s.List(), func(k Key) bool { return !by.sees(k) })
	problem.JSON(w, http.StatusOK, map[string]any{"keys": keys})
	return problem.Problem{}
}

func (s *Store) handleRevoke(w http.ResponseWriter, r *http.Request, by Key) problem.Problem {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), writeTimeout)
	defer cancel()
	key, err := s.revokeIf(ctx, r.PathValue("id"), by.mayRevoke)
	switch {
	case errors.Is(err, ErrNoKey):
		return problem.New(http.StatusNotFound, "no_such_key", "There is no such key: list them with 'curfew keys ls'.")
	case errors.Is(err, errOperatorsKey):
		return lacks(ScopeOperator, "The key wasn't revoked: it has the scope operator, and only a key with that scope can revoke it.")
	case err != nil:
		return unavailable()
	}
	problem.JSON(w, http.StatusOK, key)
	return problem.Problem{}
}

// mayRevoke tells of a foreign tenant's key what it tells of one that doesn't exist. A tenant's admin can't take the operators' keys away, which
// may lie in its tenant.
func (k Key) mayRevoke(other Key) error {
	switch {
	case !k.sees(other):
		return ErrNoKey
	case other.managesAll() && !k.managesAll():
		return errOperatorsKey
	}
	return nil
}

func unavailable() problem.Problem {
	return problem.Unavailable("keys_unavailable", "The keys couldn't be read or written: is NATS up? Ask 'curfew doctor'.", time.Second)
}
