package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// bucketStream begins the name of the stream that a bucket is made of.
const bucketStream = "KV_"

// Difference is one setting of a stream that isn't what it should be. A bucket is named by its stream, as in KV_CURFEW_KEYS and OBJ_CURFEW_SNAPSHOTS.
type Difference struct {
	Stream, Setting, Got, Want string
	// Breaks says which promise no longer holds. Empty means that nothing is broken, only unusual.
	Breaks string
}

func (d Difference) String() string {
	text := fmt.Sprintf("%s: %s is %s instead of %s", d.Stream, d.Setting, d.Got, d.Want)
	if d.Breaks != "" {
		text += ": " + d.Breaks
	}
	return text
}

// Differences compares our streams and buckets with what they should be; nil means that nothing differs. A missing stream is a
// difference too; a missing bucket isn't, because who needs it makes it. It changes nothing.
func (b *Bus) Differences(ctx context.Context) ([]Difference, error) {
	var all []Difference
	for _, spec := range append(b.specs(), AuditSpec(b.cfg)) {
		stream, err := b.js.Stream(ctx, spec.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) && spec.Name == AuditStream {
			continue // who makes checkpoints makes it
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			all = append(all, Difference{Stream: spec.Name, Setting: "stream", Got: "missing", Want: "present", Breaks: "nothing can be stored"})
			continue
		}
		if err != nil {
			return nil, streamError("look at stream "+spec.Name, err)
		}
		got := stream.CachedInfo().Config
		if (b.cfg.MaxBytes == 0 || spec.Name != LedgerStream) && got.MaxBytes > 0 {
			spec.MaxBytes = got.MaxBytes // the default depends on the disk of the day
		}
		all = append(all, compare(got, spec)...)
	}
	for _, bucket := range buckets() {
		stream, err := b.js.Stream(ctx, bucketStream+bucket.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, streamError("look at bucket "+bucket.Name, err)
		}
		all = append(all, compareBucket(stream.CachedInfo().Config, bucket.withDefaults())...)
	}
	stream, err := b.js.Stream(ctx, objectStream+SnapshotsBucket)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
	case err != nil:
		return nil, streamError("look at the object store "+SnapshotsBucket, err)
	default:
		all = append(all, compareSnapshots(stream.CachedInfo().Config, SnapshotsSpec(b.cfg))...)
	}
	return all, nil
}

// compareBucket lists what of a bucket's stream differs in what it keeps, and for how long.
func compareBucket(got jetstream.StreamConfig, want Bucket) []Difference {
	c := &comparison{stream: got.Name}
	shorter := got.MaxAge > 0 && (want.TTL == 0 || got.MaxAge < want.TTL)
	c.check("max age", age(got.MaxAge), age(want.TTL), shorter, "its entries expire while they are needed")
	c.check("max age", age(got.MaxAge), age(want.TTL), !shorter && got.MaxAge != want.TTL, "")
	c.same("history", got.MaxMsgsPerSubject, int64(want.History), "")
	if want.Memory {
		// Slower, and no less safe: what was made before stays.
		c.same("storage", got.Storage, jetstream.MemoryStorage, "")
	} else {
		c.same("storage", got.Storage, jetstream.FileStorage, "a restart of the server loses everything")
	}
	return c.found
}

// comparison collects the differences of one stream.
type comparison struct {
	stream string
	found  []Difference
}

// check notes a difference when the values aren't equal and bad holds; breaks may be empty.
func (c *comparison) check(setting string, got, want any, bad bool, breaks string) {
	if bad {
		c.found = append(c.found, Difference{Stream: c.stream, Setting: setting, Got: fmt.Sprint(got), Want: fmt.Sprint(want), Breaks: breaks})
	}
}

func (c *comparison) same(setting string, got, want any, breaks string) {
	c.check(setting, got, want, got != want, breaks)
}

// compare lists in which settings a stream differs from its spec.
func compare(got, want jetstream.StreamConfig) []Difference {
	c := &comparison{stream: want.Name}
	c.topics(got.Subjects, want.Subjects)
	c.keeping(got, want)
	c.limits(got, want)
	c.protection(got, want)
	return c.found
}

func (c *comparison) topics(got, want []string) {
	missing := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return slices.Contains(got, s) })
	extra := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return slices.Contains(want, s) })
	g, w := strings.Join(got, ", "), strings.Join(want, ", ")
	c.check("topics", g, w, len(missing) > 0, "what is published to "+strings.Join(missing, " or ")+" isn't stored")
	c.check("topics", g, w, len(missing) == 0 && len(extra) > 0, "")
}

// keeping compares how, and how safely, messages are kept.
func (c *comparison) keeping(got, want jetstream.StreamConfig) {
	c.same("retention policy", got.Retention, want.Retention, "messages disappear once somebody has read them")
	c.same("storage", got.Storage, want.Storage, "a restart of the server loses everything")
	c.same("persist mode", got.PersistMode, want.PersistMode, "messages are acknowledged before they are written")
	c.same("acknowledgements off", got.NoAck, want.NoAck, "a publisher can't know that anything was stored")
	c.same("sealed", got.Sealed, want.Sealed, "nothing can be stored")
	c.check("replicas", got.Replicas, want.Replicas, got.Replicas < want.Replicas, "losing fewer servers than configured loses the stream")
	c.check("replicas", got.Replicas, want.Replicas, got.Replicas > want.Replicas, "")
	c.check("mirror", got.Mirror != nil, false, got.Mirror != nil, "a mirror takes no messages of its own")
	c.check("sources", len(got.Sources), 0, len(got.Sources) > 0, "other streams write into it, with sequences of their own")
	c.check("topic transform", got.SubjectTransform != nil, false, got.SubjectTransform != nil, "messages are stored under other topics than they were published to")
	c.same("counters", got.AllowMsgCounter, want.AllowMsgCounter, "a counter header replaces the payload")
}

// limits compares what bounds a stream.
func (c *comparison) limits(got, want jetstream.StreamConfig) {
	c.check("max age", age(got.MaxAge), age(want.MaxAge), got.MaxAge > 0 && got.MaxAge < want.MaxAge, "a revocation expires while its session can still be alive")
	c.check("max age", age(got.MaxAge), age(want.MaxAge), got.MaxAge == 0 || got.MaxAge > want.MaxAge, "")
	c.same("discard policy", got.Discard, want.Discard, "a full stream drops its oldest messages, live revocations among them")
	c.check("max messages", got.MaxMsgs, "unlimited", got.MaxMsgs > 0, "")
	c.check("max messages per topic", got.MaxMsgsPerSubject, "unlimited", got.MaxMsgsPerSubject > 0, "a new message drops an older one of the same topic")
	c.check("max message size", got.MaxMsgSize, "unlimited", got.MaxMsgSize > 0, "")
	c.check("max consumers", got.MaxConsumers, "unlimited", got.MaxConsumers > 0, "")
	c.check("max bytes", size(got.MaxBytes), size(want.MaxBytes), got.MaxBytes != want.MaxBytes, "")
	c.check("duplicate window", age(got.Duplicates), age(want.Duplicates), got.Duplicates < want.Duplicates, "a publish that is repeated late is stored twice")
	c.check("duplicate window", age(got.Duplicates), age(want.Duplicates), got.Duplicates > want.Duplicates, "")
}

// protection compares who may remove what. Weaker is broken; stronger (on the parked stream) only keeps operators from
// dropping what they have dealt with.
func (c *comparison) protection(got, want jetstream.StreamConfig) {
	c.check("deny delete", got.DenyDelete, want.DenyDelete, want.DenyDelete && !got.DenyDelete, "a single revocation can be deleted")
	c.check("deny purge", got.DenyPurge, want.DenyPurge, want.DenyPurge && !got.DenyPurge, "all revocations can be purged")
	c.check("deny delete", got.DenyDelete, want.DenyDelete, !want.DenyDelete && got.DenyDelete, "")
	c.check("deny purge", got.DenyPurge, want.DenyPurge, !want.DenyPurge && got.DenyPurge, "")
	c.same("roll-ups allowed", got.AllowRollup, want.AllowRollup, "one header of one message empties the stream")
	c.same("schedules allowed", got.AllowMsgSchedules, want.AllowMsgSchedules, "a message can be made to publish others")
	c.same("delete markers", got.SubjectDeleteMarkerTTL, want.SubjectDeleteMarkerTTL, "delete markers turn roll-ups on")
	c.check("message TTLs allowed", got.AllowMsgTTL, want.AllowMsgTTL, want.AllowMsgTTL && !got.AllowMsgTTL, "beats are refused, or pile up")
	c.check("message TTLs allowed", got.AllowMsgTTL, want.AllowMsgTTL, !want.AllowMsgTTL && got.AllowMsgTTL, "")
	c.check("direct reads", got.AllowDirect, want.AllowDirect, want.AllowDirect && !got.AllowDirect, "")
}

func age(d time.Duration) string {
	if d == 0 {
		return "unlimited"
	}
	return d.String()
}

func size(n int64) string {
	if n <= 0 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}
