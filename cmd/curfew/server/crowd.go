package server

import (
	"context"
	"errors"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/services/publisher"
)

// mostCounted is how many sessions of the registry are looked at for one preview: while they are, what is to be written waits, about a tenth of a second.
const mostCounted = 200_000

// crowd counts whom an event would end, for the publisher.
type crowd struct {
	store    sessionstore.Store // nil where it couldn't be opened, for the reason missing
	missing  error
	replica  *revocation.Replica
	gateways *gateways.Fleet
}

// Sessions does what publisher.Crowd says. Of a user at most 1,000 are looked at. What is over already, as the replica knows, isn't counted.
func (c crowd) Sessions(ctx context.Context, e events.Event, each func(publisher.Seen)) (more bool, err error) {
	if c.store == nil {
		return false, c.missing
	}
	tenant := e.Meta().Tenant
	count := func(s sessionstore.Session) {
		session := revocation.Session{Tenant: s.Tenant, ID: s.ID, User: s.User, Device: s.Device, Client: s.Client, AuthTime: s.AuthTime}
		if revocation.Ends(e, session) && c.replica.Check(session).State != revocation.Revoked {
			each(publisher.Seen{User: s.User, Client: s.Client, SeenAt: s.SeenAt})
		}
	}
	switch e := e.(type) {
	case *events.SessionRevoked:
		session, err := c.store.Session(ctx, sessionstore.Key{Tenant: tenant, ID: e.Session})
		switch {
		case errors.Is(err, sessionstore.ErrUnknown):
			return false, nil
		case err == nil && session.Ended == nil:
			count(session)
		}
		return false, err
	case *events.UserLoggedOutEverywhere:
		list, more, err := c.store.Sessions(ctx, tenant, e.User, sessionstore.MaxListed)
		for _, session := range list {
			if session.Ended == nil {
				count(session)
			}
		}
		return more, err
	}
	return c.store.Walk(ctx, tenant, mostCounted, count)
}

// Tabs does what publisher.Crowd says.
func (c crowd) Tabs(ctx context.Context, e events.Event) (gateways.CrowdAnswer, error) {
	return c.gateways.Crowd(ctx, e)
}
