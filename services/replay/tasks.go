package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
)

// errUnknownReplay is returned for an id of which there is no replay.
var errUnknownReplay = errors.New("there is no such replay")

// tasks are the records of replays in their bucket. Every change is compared with what was read: of two that change one at the same time, the second reads again.
type tasks struct{ kv jetstream.KeyValue }

// create stores a new one.
func (t tasks) create(ctx context.Context, task *stored) error {
	data, err := json.Marshal(task)
	if err != nil {
		return fmt.Errorf("write a replay: %w", err)
	}
	if task.revision, err = t.kv.Create(ctx, task.ID, data); err != nil {
		return fmt.Errorf("store a replay: %w", err)
	}
	return nil
}

// get returns one, or errUnknownReplay.
func (t tasks) get(ctx context.Context, id string) (stored, error) {
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return stored{}, errUnknownReplay
	}
	entry, err := t.kv.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return stored{}, errUnknownReplay
	}
	if err != nil {
		return stored{}, fmt.Errorf("read a replay: %w", err)
	}
	return readTask(entry)
}

func readTask(entry jetstream.KeyValueEntry) (task stored, err error) {
	if err := json.Unmarshal(entry.Value(), &task); err != nil || task.ID != entry.Key() {
		return stored{}, fmt.Errorf("read replay %s: its record isn't one that this version knows", entry.Key())
	}
	task.revision = entry.Revision()
	return task, nil
}

// changeAttempts is how often a change is tried that others were faster with, or that was made of an entry which another server was behind with.
const changeAttempts = 40

// change reads one, has fn change it, and stores it; again if somebody else was faster. An error of fn ends it without a change.
func (t tasks) change(ctx context.Context, id string, fn func(*stored) error) (stored, error) {
	for attempt := 1; ; attempt++ {
		task, err := t.get(ctx, id)
		if err != nil {
			return stored{}, err
		}
		if err := fn(&task); err != nil {
			return task, err
		}
		data, err := json.Marshal(task)
		if err != nil {
			return stored{}, fmt.Errorf("write a replay: %w", err)
		}
		task.revision, err = t.kv.Update(ctx, id, data, task.revision)
		if err == nil {
			return task, nil
		}
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) || attempt == changeAttempts {
			return stored{}, fmt.Errorf("store a replay: %w", err)
		}
		select {
		case <-ctx.Done():
			return stored{}, context.Cause(ctx)
		case <-time.After(rand.N(25 * time.Millisecond)):
		}
	}
}

// listPatience is how long reading all records may take.
const listPatience = 10 * time.Second

// list returns all, the newest first.
func (t tasks) list(ctx context.Context) ([]stored, error) {
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	w, err := t.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list replays: %w", err)
	}
	defer func() { _ = w.Stop() }() // the server forgets it by itself
	list := []stored{}
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case entry, ok := <-w.Updates():
			if !ok {
				return nil, errors.New("list replays: the connection was closed")
			}
			if entry == nil {
				// Ids are of UUIDv7, which begin with the time.
				slices.SortFunc(list, func(a, b stored) int { return strings.Compare(b.ID, a.ID) })
				return list, nil
			}
			if task, err := readTask(entry); err == nil {
				list = append(list, task)
			}
		}
	}
}
