package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
)

// Names of our streams.
const (
	// LedgerStream holds every event and the beat.
	LedgerStream = "CURFEW"
	// ParkedStream holds poison messages with their reason.
	ParkedStream = "CURFEW_PARKED"

	parkedPrefix = "curfew.parked."
)

// LedgerSpec is what the ledger should be. With MaxBytes of zero it asks the disk of an embedded server for its free space.
//
// AllowRollup stays off, and with it everything that turns it on (delete markers, schedules): one "Nats-Rollup: all" header
// from anybody who may publish would empty the stream in spite of DenyPurge.
func LedgerSpec(cfg Config) jetstream.StreamConfig {
	cfg = cfg.withDefaults()
	return jetstream.StreamConfig{
		Name:        LedgerStream,
		Description: "Curfew's ledger: every revocation, once, in order",
		Subjects:    []string{events.TopicAll, events.TopicBeat},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardNew,
		MaxAge:      cfg.Retention,
		MaxBytes:    maxBytes(cfg, cfg.MaxBytes, defaultMaxBytes, 2),
		MaxMsgs:     -1,
		Replicas:    cfg.Replicas,
		Duplicates:  cfg.DuplicateWindow,
		DenyDelete:  true,
		DenyPurge:   true,
		AllowMsgTTL: true, // the beats leave nothing behind
		AllowDirect: true,
	}
}

// ParkedSpec is what the stream of poison messages should be. Operators drop what they have dealt with, so purging and
// deleting are allowed.
func ParkedSpec(cfg Config) jetstream.StreamConfig {
	cfg = cfg.withDefaults()
	return jetstream.StreamConfig{
		Name:        ParkedStream,
		Description: "Curfew's poison messages, each with its reason",
		Subjects:    []string{parkedPrefix + ">"},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardNew,
		MaxAge:      parkedRetention,
		MaxBytes:    maxBytes(cfg, 0, defaultParkedBytes, 8),
		MaxMsgs:     -1,
		Replicas:    cfg.Replicas,
		Duplicates:  cfg.DuplicateWindow,
		AllowDirect: true,
	}
}

// maxBytes is what was configured, or def, or the share of the embedded server's free disk where that is less.
func maxBytes(cfg Config, configured, def, share int64) int64 {
	if configured > 0 {
		return configured
	}
	if cfg.URL != "" {
		return def
	}
	free, err := freeBytes(cfg.Embedded.Dir)
	if err != nil {
		return def
	}
	return max(min(def, free/share), 1)
}

// EnsureStreams creates the ledger and the parked stream where they are missing. An existing stream that breaks a promise is
// refused with a [*StreamError] inside an [*Error]; one that only differs is left alone (see [Bus.Differences]). On the
// embedded server, which nobody else configures, what Config says about age, size and duplicates is applied to existing
// streams. A ledger that has no key of fingerprints ([HashKeyMetadata]) gets one, and one whose retention was changed is told so
// ([RetentionMetadata]), if this process may do that. Safe to call from several processes at once.
func (b *Bus) EnsureStreams(ctx context.Context) error { return b.ensure(ctx, b.specs()...) }

func (b *Bus) ensure(ctx context.Context, specs ...jetstream.StreamConfig) error {
	var broken []Difference
	for _, spec := range specs {
		var got jetstream.StreamConfig
		err := b.onceFormed(ctx, func(ctx context.Context) (err error) {
			got, err = b.ensureStream(ctx, spec)
			return err
		})
		if err != nil {
			return err
		}
		for _, d := range compare(got, spec) {
			if d.Breaks != "" {
				broken = append(broken, d)
			}
		}
	}
	if len(broken) > 0 {
		return &Error{
			Op:   "check streams",
			Err:  &StreamError{Differences: broken},
			Hint: "change them with nats stream edit <stream>; storage and retention policy can't be changed and need a new stream",
		}
	}
	return nil
}

func (b *Bus) specs() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{LedgerSpec(b.cfg), ParkedSpec(b.cfg)}
}

// ensureStream returns the stream's real settings, after creating it if need be. What the server made of a creation is
// compared too: an old server ignores settings that it doesn't know.
func (b *Bus) ensureStream(ctx context.Context, spec jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	stream, err := b.js.Stream(ctx, spec.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = b.createStream(ctx, spec)
	}
	if err != nil {
		return jetstream.StreamConfig{}, streamError("create stream "+spec.Name, err)
	}
	if stream.CachedInfo().Config.Metadata[RestoringMetadata] != "" {
		return jetstream.StreamConfig{}, &Error{Op: "check stream " + spec.Name, Err: ErrRestoring, Hint: "wait until curfew restore is done; if it was ended, run it again"}
	}
	got, err := b.ensureHashKey(ctx, stream.CachedInfo().Config)
	if err != nil {
		return got, err
	}
	want, change := b.configured(got, spec)
	switch {
	case spec.Name != LedgerStream:
	case b.embedded == nil:
		if err := b.NoteRetention(ctx); err != nil {
			b.cfg.Log.WithError(err).Warn("the ledger can't be told its retention")
		}
	default:
		var told bool
		want, told = withRetention(got, want, clockOf(stream.CachedInfo()))
		change = change || told
	}
	if !change {
		return got, nil
	}
	if stream, err = b.js.UpdateStream(ctx, want); err != nil {
		return got, streamError("update stream "+spec.Name, err)
	}
	return stream.CachedInfo().Config, nil
}

func (b *Bus) createStream(ctx context.Context, spec jetstream.StreamConfig) (jetstream.Stream, error) {
	if spec.Name == LedgerStream {
		var err error
		if spec, err = b.firstLedger(ctx, spec); err != nil {
			return nil, err
		}
	}
	stream, err := b.js.CreateStream(ctx, spec)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		// Another process was faster, with other settings.
		return b.js.Stream(ctx, spec.Name)
	}
	return stream, err
}

// configured puts what the operator configures into the real settings of an embedded stream, and nothing else: whatever
// else differs didn't come about by configuration and has to be looked at.
func (b *Bus) configured(got, spec jetstream.StreamConfig) (want jetstream.StreamConfig, change bool) {
	if b.embedded == nil {
		return got, false
	}
	want = got
	want.MaxAge, want.Duplicates = spec.MaxAge, spec.Duplicates
	if b.cfg.MaxBytes > 0 && spec.Name == LedgerStream {
		want.MaxBytes = spec.MaxBytes
	}
	change = want.MaxAge != got.MaxAge || want.Duplicates != got.Duplicates || want.MaxBytes != got.MaxBytes
	return want, change
}

// streamError adds the hint to what the server said about a stream.
func streamError(op string, err error) error {
	hint := "the user needs the right to manage streams: run once as an administrator, or check the server"
	var api *jetstream.APIError
	if unanswered(err) {
		hint = unansweredHint
	} else if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeMemoryExceeded:
			hint = "JetStream there has less memory than Curfew reserves, 256 MiB for used tickets: raise max_memory_store, as in deploy/nats/nats.conf, or the account's max_mem"
		case codeStorageExceeded, codeNoResources, codeAccountResources:
			hint = "the ledger's limit is larger than the space for JetStream: lower it, or give it a bigger disk"
		case codeRestoreFailed:
			hint = "is the NATS server at least as new as the one that made the backup, and its disk fast and not full? Its log tells more"
		case codeSubjectOverlap:
			hint = "another stream takes the same topics: find it with nats stream ls --subjects, and remove or narrow it"
		case codeNoSuitablePeers:
			hint = "fewer servers than replicas: lower the replicas, or start the missing servers"
		}
	}
	return &Error{Op: op, Err: err, Hint: hint}
}

// unansweredHint is for requests without an answer. A server doesn't answer who has no right to ask, either.
const unansweredHint = "is NATS up, has its cluster a leader, and may this user publish on $JS.API.>?"

func unanswered(err error) bool {
	for _, e := range []error{context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrReconnectBufExceeded, nats.ErrConnectionClosed, nats.ErrConnectionReconnecting} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// checkDurable refuses names that NATS would refuse later or that would widen a topic.
func checkDurable(name string) error {
	if strings.ContainsAny(name, " \t\r\n.*>/\\") {
		return fmt.Errorf("durable %q: no spaces, dots, slashes or wildcards", name)
	}
	return nil
}
