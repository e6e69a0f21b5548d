package events_test

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
)

// BenchmarkDecodeMessage is most of what a replica's start costs when there is no snapshot.
func BenchmarkDecodeMessage(b *testing.B) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	e := &events.SessionRevoked{
		Common: events.Common{
			ID: "0195b0f0-4a2e-7c3d-9f01-23456789abcd", Time: at, Source: "billing", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: "5f0c9b7e-2f3a-4f0e-9d3a-8c1b2a3d4e5f", User: "user-1234567", AuthTime: at.Add(-time.Hour),
	}
	body, err := events.Encode(e)
	if err != nil {
		b.Fatal(err)
	}
	topic := events.TopicOf(e).String()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.DecodeMessage(topic, body); err != nil {
			b.Fatal(err)
		}
	}
}
