package events_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/curfewhq/curfew/events"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// Generators of what is valid. They aim at what JSON, UTF-8 and topics find hard.

// hardRunes need escapes in JSON, look like topics or have several bytes; none is a control character.
var hardRunes = []rune("\"\\/<>&'.*> \u2028\u2029\ufffd\u00e9\u0301警🔒\U0010ffff")

func genText(maxBytes int) *rapid.Generator[string] {
	char := rapid.OneOf(rapid.SampledFrom(hardRunes), rapid.RuneFrom(nil, unicode.L, unicode.N, unicode.P, unicode.S))
	return rapid.StringOfN(char, 0, -1, maxBytes)
}

func genID() *rapid.Generator[string] {
	return genText(events.MaxIDBytes).Filter(func(s string) bool { return s != "" })
}

func genOptionalID() *rapid.Generator[string] { return rapid.OneOf(rapid.Just(""), genID()) }

func genTenant() *rapid.Generator[string] { return rapid.StringMatching(`[a-z0-9-]{1,63}`) }

// genTime gives times of any precision and zone between 1970 and 9999; Encode floors them.
func genTime() *rapid.Generator[time.Time] {
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	return rapid.Custom(func(t *rapid.T) time.Time {
		sec := rapid.OneOf(rapid.Int64Range(0, last.Unix()), rapid.Just(last.Unix()), rapid.Int64Range(1.6e9, 2e9)).Draw(t, "sec")
		nsec := rapid.OneOf(rapid.Int64Range(0, 999_999_999), rapid.SampledFrom([]int64{0, 1, 999_999, 1e6, 999_999_999})).Draw(t, "nsec")
		zone := time.FixedZone("", 60*rapid.IntRange(-23*60, 23*60).Draw(t, "offset"))
		return time.Unix(sec, nsec).In(zone)
	})
}

func genOptionalTime() *rapid.Generator[time.Time] {
	return rapid.OneOf(rapid.Just(time.Time{}), genTime())
}

func genCommon() *rapid.Generator[events.Common] {
	return rapid.Custom(func(t *rapid.T) events.Common {
		return events.Common{
			ID:          genUUIDv7().Draw(t, "id"),
			Time:        genTime().Draw(t, "time"),
			Source:      rapid.StringMatching(`[a-z]{1,8}(/[A-Za-z0-9._~!$&'()*+,;=:@-]{1,20}|%[0-9A-F]{2}){0,5}`).Draw(t, "source"),
			Tenant:      genTenant().Draw(t, "tenant"),
			Reason:      rapid.SampledFrom(events.Reasons()).Draw(t, "reason"),
			ReasonAdmin: genText(events.MaxTextBytes).Draw(t, "reason_admin"),
			ReasonUser:  rapid.OneOf(rapid.Just(""), rapid.Just("two\nlines"), genText(events.MaxTextBytes)).Draw(t, "reason_user"),
			Initiator: events.Initiator{
				Type: rapid.SampledFrom(initiatorTypes()).Draw(t, "initiator.type"),
				ID:   genOptionalID().Draw(t, "initiator.id"),
			},
			ExpiresAt:   genOptionalTime().Draw(t, "expires_at"),
			TraceParent: rapid.StringMatching(`([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})?`).Draw(t, "traceparent"),
			Replay:      genOptionalID().Draw(t, "replay"),
		}
	})
}

func genUUIDv7() *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) string {
		id := uuid.UUID(b)
		id[6] = id[6]&0x0f | 0x70
		id[8] = id[8]&0x3f | 0x80
		return id.String()
	})
}

func initiatorTypes() []events.InitiatorType {
	return []events.InitiatorType{events.InitiatorUser, events.InitiatorAdmin, events.InitiatorPolicy, events.InitiatorSystem}
}

// genEvent gives valid events whose times aren't floored yet.
func genEvent() *rapid.Generator[events.Event] {
	return rapid.Custom(func(t *rapid.T) events.Event {
		c := genCommon().Draw(t, "common")
		switch rapid.IntRange(0, 4).Draw(t, "type") {
		case 0:
			return &events.SessionRevoked{
				Common: c, Session: genID().Draw(t, "session"), User: genOptionalID().Draw(t, "user"),
				Device: genOptionalID().Draw(t, "device"), Client: genOptionalID().Draw(t, "client"),
				AuthTime: genOptionalTime().Draw(t, "auth_time"), SessionExpiresAt: genOptionalTime().Draw(t, "session_expires_at"),
			}
		case 1:
			sids := rapid.SliceOfNDistinct(genID(), 0, 40, rapid.ID[string]).Draw(t, "sids")
			except := min(len(sids), rapid.IntRange(0, events.MaxExcept).Draw(t, "excepted"))
			return &events.UserLoggedOutEverywhere{
				Common: c, User: genID().Draw(t, "user"), Cutoff: genTime().Draw(t, "cutoff"),
				Except: nilIfEmpty(sids[:except]), KnownSessions: nilIfEmpty(sids[except:]),
			}
		case 2:
			return &events.DeviceLoggedOut{
				Common: c, Device: genID().Draw(t, "device"), User: genOptionalID().Draw(t, "user"), Cutoff: genTime().Draw(t, "cutoff"),
			}
		case 3:
			return &events.ClientLoggedOut{Common: c, Client: genID().Draw(t, "client"), Cutoff: genTime().Draw(t, "cutoff")}
		default:
			return &events.TenantLoggedOut{Common: c, Cutoff: genTime().Draw(t, "cutoff")}
		}
	})
}

func nilIfEmpty(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return slices.Clip(s)
}

// clone returns a deep copy of e.
func clone(e events.Event) events.Event { return mapTimes(e, func(t time.Time) time.Time { return t }) }

// floored returns a copy of e as a reader sees it: every time floored.
func floored(e events.Event) events.Event { return mapTimes(e, events.Floor) }

func mapTimes(e events.Event, f func(time.Time) time.Time) events.Event {
	src := reflect.ValueOf(e).Elem()
	dst := reflect.New(src.Type())
	dst.Elem().Set(src)
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		for _, field := range v.Fields() {
			switch x := field.Addr().Interface().(type) {
			case *time.Time:
				*x = f(*x)
			case *[]string:
				*x = slices.Clone(*x)
			case *events.Common, *events.Initiator:
				walk(field)
			}
		}
	}
	walk(dst.Elem())
	return dst.Interface().(events.Event)
}

// zeroFields returns the path of each field of e → whether it is zero.
func zeroFields(e events.Event) map[string]bool {
	zero := map[string]bool{}
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for structField, field := range v.Fields() {
			path := prefix + structField.Name
			switch field.Interface().(type) {
			case events.Common, events.Initiator:
				walk(path+".", field)
			default:
				zero[path] = field.IsZero()
			}
		}
	}
	walk("", reflect.ValueOf(e).Elem())
	return zero
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func TestGeneratorsGiveValidEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEvent().Draw(t, "event")
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(e.Target(), unicode.IsControl) || !utf8.ValidString(e.Target()) {
			t.Fatalf("target %q", e.Target())
		}
	})
}
