package events_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTopicOf(t *testing.T) {
	for _, c := range []struct {
		file, want string
	}{
		{"SessionRevoked.minimal.json", "curfew.v1.default.7d.session"}, // no user: the session's shard
		{"SessionRevoked.full.json", "curfew.v1.acme-eu.eb.session"},
		{"UserLoggedOutEverywhere.minimal.json", "curfew.v1.default.5b.user"},
		{"DeviceLoggedOut.minimal.json", "curfew.v1.default.f4.device"},
		{"DeviceLoggedOut.full.json", "curfew.v1.acme-eu.5f.device"},
		{"ClientLoggedOut.minimal.json", "curfew.v1.default.ef.client"},
		{"TenantLoggedOut.minimal.json", "curfew.v1.default.b1.tenant"},
	} {
		if got := events.TopicOf(golden()[c.file]).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.file, got, c.want)
		}
	}
}

// TestTopicTellsNoID: the tenant and kind are all that a topic gives away beside one byte of a hash.
func TestTopicTellsNoID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEvent().Draw(t, "event")
		got := events.TopicOf(e)
		topic := got.String()
		rest, found := strings.CutPrefix(topic, "curfew.v1."+e.Meta().Tenant+".")
		if !found || rest != fmt.Sprintf("%02x.%s", got.Shard, e.Kind()) {
			t.Fatalf("topic %q of tenant %q", topic, e.Meta().Tenant)
		}
		// Nothing but the owner moves the shard, so nothing else can be read from it.
		owner := e.UserID()
		if owner == "" {
			owner = e.Target()
		}
		if got.Shard != events.Shard(e.Meta().Tenant, owner) {
			t.Fatalf("shard %02x isn't that of the user or else the target", got.Shard)
		}
	})
}

func TestTopicRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := events.Topic{
			Tenant: genTenant().Draw(t, "tenant"), Shard: rapid.Uint8().Draw(t, "shard"), Kind: rapid.SampledFrom(events.Kinds()).Draw(t, "kind"),
		}
		got, err := events.ParseTopic(want.String())
		if err != nil || got != want {
			t.Fatalf("ParseTopic(%q) = %v, %v", want, got, err)
		}
	})
}

// TestParseTopicHasOneSpelling: whatever parses formats to the same string, for arbitrary strings and for near misses.
func TestParseTopicHasOneSpelling(t *testing.T) {
	part := rapid.OneOf(
		rapid.SampledFrom([]string{"curfew", "v1", "v2", "default", "00", "ff", "FF", "0", "000", "session", "user", "tenant", "beat", "*", ">", "", " "}),
		rapid.StringMatching(`[0-9a-fA-F]{2}`), rapid.String(),
	)
	nearMiss := rapid.Map(rapid.SliceOfN(part, 0, 6), func(parts []string) string { return "curfew.v1." + strings.Join(parts, ".") })
	mutated := rapid.Custom(func(t *rapid.T) string {
		s := []byte(events.Topic{Tenant: "acme-eu", Shard: 0x7f, Kind: events.KindUser}.String())
		s[rapid.IntRange(0, len(s)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		return string(s)
	})
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), nearMiss, mutated).Draw(t, "topic")
		topic, err := events.ParseTopic(s)
		if err != nil {
			if !errors.Is(err, events.ErrTopic) || topic != (events.Topic{}) {
				t.Fatalf("ParseTopic(%q) = %v, %v", s, topic, err)
			}
			return
		}
		if topic.String() != s {
			t.Fatalf("ParseTopic(%q) formats to %q", s, topic)
		}
	})
}

func TestParseTopicRefuses(t *testing.T) {
	for _, s := range []string{
		"", "curfew", "curfew.v1", "curfew.v1.", events.TopicBeat, events.TopicAll, "curfew.v1.>", "curfew.v1.default.*.user",
		"curfew.v1.default.00", "curfew.v1.default.00.user.x", "curfew.v1..00.user", "curfew.v1.default..user", "curfew.v1.default.00.",
		"curfew.v1.default.0.user", "curfew.v1.default.000.user", "curfew.v1.default.0g.user", "curfew.v1.default.FF.user",
		"curfew.v1.default.-1.user", "curfew.v1.default.+1.user", "curfew.v1.default.00.User", "curfew.v1.default.00.everybody",
		"curfew.v1.default.00.user ", " curfew.v1.default.00.user", "curfew.v1.default.00.user\n", "curfew.v2.default.00.user",
		"Curfew.v1.default.00.user", "curfew.v1.Default.00.user", "curfew.v1.*.00.user", "curfew.v1.>.00.user",
		"curfew.v1." + strings.Repeat("a", 64) + ".00.user", "curfew.v1._.00.user",
	} {
		if topic, err := events.ParseTopic(s); !errors.Is(err, events.ErrTopic) {
			t.Errorf("ParseTopic(%q) = %v, %v", s, topic, err)
		}
	}
}

// TestTenantsCannotForgeTopics: a tenant that would add, drop or widen a part of a topic is refused wherever it comes in, and
// asks for nobody's events.
func TestTenantsCannotForgeTopics(t *testing.T) {
	for _, tenant := range []string{
		"", "*", ">", "a.*", "*.*", "acme.00.user", "acme.>", "acme.", ".acme", "acme ", "acme\n", "acme\x00", "acme\t*", "ACME", "acmé",
		"_", "$SYS", "a_b", strings.Repeat("a", 64),
	} {
		e := full(&events.TenantLoggedOut{})
		e.Meta().Tenant = tenant
		if b, err := events.Encode(e); err == nil {
			t.Errorf("tenant %q was written: %s", tenant, b)
		}
		forged := events.Topic{Tenant: tenant, Kind: events.KindUser}
		if got, err := events.ParseTopic(forged.String()); err == nil {
			t.Errorf("tenant %q: the topic %q parses to %v", tenant, forged, got)
		}
		for _, filter := range []string{events.TenantTopics(tenant), events.UserTopics(tenant, "u-1")} {
			for _, victim := range []string{"acme", "default", "a", strings.ToLower(tenant)} {
				topic := events.Topic{Tenant: victim, Shard: events.Shard(tenant, "u-1"), Kind: events.KindUser}
				if events.TenantFault(victim) == "" && matches(filter, topic.String()) {
					t.Errorf("tenant %q: the filter %q matches %s", tenant, filter, topic)
				}
			}
			if strings.Count(filter, ".") != 4 {
				t.Errorf("tenant %q: the filter %q has another shape", tenant, filter)
			}
		}
	}
}

func TestFilters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEvent().Draw(t, "event")
		topic, tenant := events.TopicOf(e).String(), e.Meta().Tenant
		filters := []string{events.TopicAll, events.TenantTopics(tenant)}
		if e.UserID() != "" {
			filters = append(filters, events.UserTopics(tenant, e.UserID()))
		}
		for _, filter := range filters {
			if !matches(filter, topic) {
				t.Fatalf("%s doesn't match %s", filter, topic)
			}
			if matches(filter, events.TopicBeat) {
				t.Fatalf("%s matches the beat", filter)
			}
		}
		if other := "x" + tenant; len(other) <= 63 && matches(events.TenantTopics(other), topic) {
			t.Fatalf("tenant %q reads %s", other, topic)
		}
	})
}

// matches is NATS's rule: a part is equal, or "*"; ">" stands for one or more parts at the end.
func matches(filter, topic string) bool {
	want, got := strings.Split(filter, "."), strings.Split(topic, ".")
	for i, part := range want {
		switch {
		case part == ">":
			return i == len(want)-1 && len(got) > i
		case i >= len(got) || part != "*" && part != got[i]:
			return false
		}
	}
	return len(want) == len(got)
}

func TestShardSpreadsEvenly(t *testing.T) {
	const perShard = 150
	for name, id := range map[string]func(int) string{
		"numbers":        func(i int) string { return fmt.Sprint(i) },
		"padded numbers": func(i int) string { return fmt.Sprintf("user-%010d", i) },
		"uuids":          func(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i*2654435761&0xffffffff, i) },
		"auth0":          func(i int) string { return fmt.Sprintf("auth0|%024x", i*7919) },
	} {
		var count [256]int
		for i := range 256 * perShard {
			count[events.Shard("default", id(i))]++
		}
		for shard, n := range count {
			if n < perShard/2 || n > perShard*2 {
				t.Errorf("%s: shard %02x has %d of %d, want about %d", name, shard, n, 256*perShard, perShard)
			}
		}
	}
}

// TestShardIsFixed pins values: shards stand in stored topics, so another hash would hide old events from UserTopics.
func TestShardIsFixed(t *testing.T) {
	got := map[string]uint8{}
	for _, pair := range [][2]string{{"default", ""}, {"default", "u-1"}, {"acme-eu", "u-1"}, {"a", "bc"}, {"ab", "c"}, {"default", "用户-1"}} {
		got[pair[0]+"/"+pair[1]] = events.Shard(pair[0], pair[1])
	}
	want := map[string]uint8{
		"default/": 0x31, "default/u-1": 0x5b, "acme-eu/u-1": 0x5f, "a/bc": 0x13, "ab/c": 0x46, "default/用户-1": 0x7b,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
