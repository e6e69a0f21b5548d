package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/services/fanout"
)

// minters is how many ask for tickets at once.
const minters = 8

// userID is as long as ids usually are.
func userID(group, user int) string {
	return fmt.Sprintf("6f9619ff-8b86-4d01-%04d-%012d", group, user)
}

func sessionID(group, user, tab int) string { return fmt.Sprintf("%04d%020d%08d", group, user, tab) }

// tickets gets a ticket for each tab of the crowd, as an application does before a page connects. They live for 60 s.
func (c crowd) tickets(ctx context.Context) ([]string, error) {
	api, err := apiclient.New(c.URL, c.Key)
	if err != nil {
		return nil, err
	}
	defer api.Close()
	if err := c.untilKnown(ctx, api); err != nil {
		return nil, err
	}
	tickets := make([]string, c.Users*c.Tabs)
	errs := make([]error, minters)
	var working sync.WaitGroup
	for w := range minters {
		working.Go(func() {
			for i := w; i < len(tickets) && errs[w] == nil; i += minters {
				tickets[i], errs[w] = c.ticket(ctx, api, i)
			}
		})
	}
	working.Wait()
	return tickets, errors.Join(errs...)
}

func (c crowd) ticket(ctx context.Context, api *apiclient.Client, i int) (string, error) {
	user, signedIn := c.First+i/c.Tabs, time.Now().Add(-time.Hour)
	q := fanout.TicketRequest{User: userID(c.Group, user), Session: sessionID(c.Group, user, i%c.Tabs), AuthTime: &signedIn}
	var t fanout.TicketAnswer
	err := api.Call(ctx, http.MethodPost, "/v1/tickets", nil, q, &t)
	return t.Ticket, err
}

// untilKnown waits until the process that is asked has heard of the key, which was made a moment ago.
func (c crowd) untilKnown(ctx context.Context, api *apiclient.Client) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var refused *apiclient.Error
		_, err := c.ticket(ctx, api, 0)
		if err == nil || !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized || time.Now().After(deadline) {
			return err
		}
	}
}
