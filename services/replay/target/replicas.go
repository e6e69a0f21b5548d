package target

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/replicas"
)

var groupForm = regexp.MustCompile(replicas.GroupForm)

// rebuild has the replicas of a group read the ledger anew.
type rebuild struct {
	nc            *nats.Conn
	replay, group string
	result        Result
}

// Do gives the order under the replay's id: after a crash, those that have done it say so and don't do it again.
func (t *rebuild) Do(ctx context.Context, progress func(done, of int)) error {
	list, err := replicas.Order(ctx, t.nc, t.replay, t.group, func(list []replicas.Rebuild) { progress(t.note(list), len(list)) })
	t.note(list)
	switch {
	case errors.Is(err, replicas.ErrNobody):
		return final{fmt.Errorf("target replicas: group %q: %w: 'curfew serve' names its own with --replica-group", t.group, err)}
	case err != nil:
		return fmt.Errorf("target replicas: %w", err)
	}
	for _, r := range list {
		if r.State != replicas.RebuildDone {
			return final{fmt.Errorf("target replicas: %s hasn't done it: %s", r.Name, r.Error)}
		}
	}
	return nil
}

// note keeps what was heard, and returns how many are through.
func (t *rebuild) note(list []replicas.Rebuild) (through int) {
	t.result.Replicas = make([]Rebuilt, len(list))
	for i, r := range list {
		t.result.Replicas[i] = Rebuilt(r)
		if r.State != replicas.RebuildReading {
			through++
		}
	}
	return through
}

func (t *rebuild) Send(context.Context, Message) error { return nil }
func (t *rebuild) Flush(context.Context) error         { return nil }
func (t *rebuild) Finish(context.Context) error        { return nil }
func (t *rebuild) Result() Result                      { return t.result }
func (t *rebuild) Close()                              {}
