package events

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
)

// Topics of the ledger. The beat shares the stream with the events, so that it proves their path.
const (
	// TopicAll matches every event's topic and not the beat's.
	TopicAll = "curfew.v1.*.*.*"
	// TopicBeat is where the beat travels: the message whose arrival proves that everything before it has arrived too.
	TopicBeat = "curfew.v1.beat"

	topicPrefix = "curfew.v1."
)

// ErrTopic is returned by ParseTopic for a string that isn't the topic of an event.
var ErrTopic = errors.New("not the topic of an event")

// Topic is where an event travels: curfew.v1.<tenant>.<shard>.<kind>. It tells no id.
type Topic struct {
	Tenant string
	// Shard is 0 to 255, from the user or, where there is none, the target.
	Shard uint8
	Kind  Kind
}

// TopicOf returns the topic of a valid event.
func TopicOf(e Event) Topic {
	owner := e.UserID()
	if owner == "" {
		owner = e.Target()
	}
	tenant := e.Meta().Tenant
	return Topic{Tenant: tenant, Shard: Shard(tenant, owner), Kind: e.Kind()}
}

// Shard returns the shard of a user (or of a target where there is no user) within a tenant. It only spreads load and
// narrows reads; nothing is trusted to it, so an ordinary hash serves.
func Shard(tenant, id string) uint8 {
	h := fnv.New32a()
	// The tenant can't hold a NUL, so no two pairs give the same bytes.
	_, _ = h.Write([]byte(tenant))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(id))
	sum := h.Sum32()
	return uint8(sum ^ sum>>8 ^ sum>>16 ^ sum>>24)
}

// String returns the topic as NATS takes it. It writes what t holds: that t is valid is [TopicOf]'s and [ParseTopic]'s doing.
func (t Topic) String() string {
	return topicPrefix + t.Tenant + "." + t.shard() + "." + string(t.Kind)
}

func (t Topic) shard() string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[t.Shard>>4], digits[t.Shard&0xf]})
}

// is reports whether s is t.String(), which it doesn't make.
func (t Topic) is(s string) bool {
	rest, ours := strings.CutPrefix(s, topicPrefix)
	rest, tenants := strings.CutPrefix(rest, t.Tenant)
	kind, shards := strings.CutPrefix(rest, "."+t.shard()+".")
	return ours && tenants && shards && kind == string(t.Kind)
}

// ParseTopic is the inverse of [Topic.String]. It returns ErrTopic for anything else.
func ParseTopic(s string) (Topic, error) {
	rest, ok := strings.CutPrefix(s, topicPrefix)
	if !ok {
		return Topic{}, ErrTopic
	}
	parts := strings.Split(rest, ".")
	if len(parts) != 3 || TenantFault(parts[0]) != "" {
		return Topic{}, ErrTopic
	}
	shard, ok := parseShard(parts[1])
	if !ok {
		return Topic{}, ErrTopic
	}
	for _, k := range Kinds() {
		if parts[2] == string(k) {
			return Topic{Tenant: parts[0], Shard: shard, Kind: k}, nil
		}
	}
	return Topic{}, ErrTopic
}

// parseShard takes two lower-case hex digits and nothing else, so that a topic has one spelling.
func parseShard(s string) (uint8, bool) {
	if len(s) != 2 {
		return 0, false
	}
	var v uint8
	for i := range 2 {
		d := strings.IndexByte("0123456789abcdef", s[i])
		if d < 0 {
			return 0, false
		}
		v = v<<4 | uint8(d)
	}
	return v, true
}

// TenantTopics returns the wildcard that matches every event of a tenant. For what isn't a tenant (TenantFault), such as "*", it
// matches nothing, so that nobody reads across tenants.
func TenantTopics(tenant string) string { return topicPrefix + literal(tenant) + ".*.*" }

// UserTopics returns the wildcard that matches every event that names the user, and those of 1/256 of the others. For what isn't
// a tenant it matches nothing.
func UserTopics(tenant, user string) string {
	return fmt.Sprintf("%s%s.%02x.*", topicPrefix, literal(tenant), Shard(tenant, user))
}

// KindTopics returns the wildcard that matches every event of one kind of a tenant. For what isn't a tenant it matches nothing.
func KindTopics(tenant string, k Kind) string {
	return topicPrefix + literal(tenant) + ".*." + string(k)
}

// literal returns tenant, or "_", which no tenant can be called, for what would be more or less than one part of a topic.
func literal(tenant string) string {
	if TenantFault(tenant) != "" {
		return "_"
	}
	return tenant
}
