package target

import (
	"context"
	"fmt"

	"github.com/curfewhq/curfew/internal/gateways"
)

// tabs has gateways tell open tabs again. It sends positions alone: gateways read the events from the ledger themselves.
type tabs struct {
	fleet   *gateways.Fleet
	waiting []uint64
	result  Result
}

func (t *tabs) Send(ctx context.Context, m Message) error {
	t.waiting = append(t.waiting, m.Position)
	if len(t.waiting) < gateways.MaxAgain {
		return nil
	}
	return t.Flush(ctx)
}

func (t *tabs) Flush(ctx context.Context) error {
	if len(t.waiting) == 0 {
		return nil
	}
	told, missing, err := t.fleet.TellAgain(ctx, t.waiting)
	if err != nil {
		return fmt.Errorf("target tabs: %w", err)
	}
	t.waiting = t.waiting[:0]
	t.result.TabsTold += told
	t.result.GatewaysMissed += len(missing)
	return nil
}

func (t *tabs) Finish(context.Context) error { return nil }
func (t *tabs) Result() Result               { return t.result }
func (t *tabs) Close()                       {}
