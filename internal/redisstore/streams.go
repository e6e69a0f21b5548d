package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-redis/redis/v8"
)

const (
	// StreamLength is about how many entries a stream holds: of what comes beyond, Redis drops the oldest.
	StreamLength = 1_000_000
	// streamLifetime is for how long a stream is kept after it was last added to.
	streamLifetime = 7 * 24 * time.Hour
	streamPrefix   = "curfew:replay:"
	streamTimeout  = 10 * time.Second
)

// Streams adds to Redis Streams. Make it with OpenStreams and close it. It is safe for concurrent use.
type Streams struct{ client *redis.Client }

// Entry is an event in a stream.
type Entry struct {
	// Position is the event's, above 0; positions of a stream go up.
	Position uint64
	ID       string
	Event    []byte
}

// OpenStreams doesn't wait for Redis. The error never quotes the URL, which has a password.
func OpenStreams(url string) (*Streams, error) {
	client, err := connect(url)
	if err != nil {
		return nil, err
	}
	return &Streams{client}, nil
}

// Close closes the connections.
func (s *Streams) Close() error { return s.client.Close() }

// StreamKey is the key of a replay's stream.
func StreamKey(replay string) string { return streamPrefix + replay }

// Last returns the position of the last entry that was added, also if a reader has deleted it since; 0 where there is no stream.
func (s *Streams) Last(ctx context.Context, key string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	// Not XInfoStream, which reads the answer of one version of Redis alone.
	told, err := s.client.Do(ctx, "XINFO", "STREAM", key).Slice()
	if err != nil && strings.Contains(err.Error(), "no such key") {
		return 0, nil
	}
	if err != nil {
		return 0, failure(err)
	}
	for i := 0; i+1 < len(told); i += 2 {
		if told[i] == "last-generated-id" {
			position, _, _ := strings.Cut(fmt.Sprint(told[i+1]), "-")
			return strconv.ParseUint(position, 10, 64)
		}
	}
	return 0, failure(errors.New("it doesn't tell how far a stream goes"))
}

// Add adds entries as fields id and event under <position>-0. What is there already isn't added again: Redis takes no id that isn't above the last one.
func (s *Streams) Add(ctx context.Context, key string, entries []Entry) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	commands, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, e := range entries {
			p.XAdd(ctx, &redis.XAddArgs{
				Stream: key, MaxLen: StreamLength, Approx: true, ID: strconv.FormatUint(e.Position, 10) + "-0", Values: []any{"id", e.ID, "event", e.Event},
			})
		}
		p.Expire(ctx, key, streamLifetime)
		return nil
	})
	if err == nil {
		return nil
	}
	answered := false
	for _, c := range commands {
		switch err := c.Err(); {
		case err == nil:
			answered = true
		case strings.Contains(err.Error(), "equal or smaller than the target stream top item"):
			answered = true
		default:
			return failure(err)
		}
	}
	if !answered {
		return failure(errors.Join(err, errors.New("redis hasn't answered")))
	}
	return nil
}
