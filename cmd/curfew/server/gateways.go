package server

import (
	"context"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// startGateways makes this process a gateway among others, and lets it ask them.
func (s *Server) startGateways(ctx context.Context) (*gateways.Gateway, *gateways.Fleet, error) {
	kv, err := s.bus.KeyValue(ctx, bus.GatewaysBucket())
	if err != nil {
		return nil, nil, err
	}
	log := s.log.WithField(telemetry.FieldComponent, "gateways")
	host, _ := os.Hostname() // for people only
	g, err := gateways.New(s.bus.Conn(), kv, gateways.Config{
		Name: fmt.Sprintf("%s:%d", host, os.Getpid()),
		// There is a fan-out by the time that anybody can ask.
		Tabs:   func(tenant, user string) []gateways.Tab { return s.fanout.Tabs(tenant, user) },
		Conns:  func() int { return s.fanout.Open() },
		Passed: func(a gateways.PassedAck) { s.fanout.Passed(a) },
		Shown:  func(event string, position uint64) gateways.Shown { return s.fanout.Shown(event, position) },
		Crowd:  func(e events.Event) gateways.Crowd { return s.fanout.Crowd(e) },
		Hint:   func(h gateways.Hint) { s.fanout.Hint(h) },
		Again:  func(positions []uint64) int { return s.fanout.Again(positions) },
		Failed: func(err error) { log.WithError(err).Warn("other processes may not know that this gateway is there") },
	})
	if err != nil {
		return nil, nil, err
	}
	fleet, err := s.gatewayFleet(ctx)
	if err != nil {
		return nil, nil, err
	}
	registerGatewayMetrics(s.reg, g)
	return g, fleet, nil
}

func registerGatewayMetrics(reg prometheus.Registerer, g *gateways.Gateway) {
	counter := counters(reg, "gateway", g.Stats)
	counter("acks_told_total", "Acknowledgements that were told to whoever makes receipts of them.", func(s gateways.Stats) uint64 { return s.Acks })
	counter("acks_dropped_total", "Acknowledgements that couldn't be told.", func(s gateways.Stats) uint64 { return s.AcksDropped })
	counter("presence_changes_total", "Users who have come or gone, as told.", func(s gateways.Stats) uint64 { return s.Changes })
	counter("questions_total", "Questions for a user's tabs that were answered.", func(s gateways.Stats) uint64 { return s.Questions })
	counter("questions_dropped_total", "Questions for a user's tabs of a flood that were not.", func(s gateways.Stats) uint64 { return s.QuestionsDropped })
	counter("bad_messages_total", "Questions that weren't in form, and answers that couldn't be written.", func(s gateways.Stats) uint64 { return s.Bad })
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "curfew", Subsystem: "gateway", Name: "users", Help: "Users with an open tab."},
		func() float64 { return float64(g.Stats().Users) }))
}
