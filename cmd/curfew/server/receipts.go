package server

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/signing"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// startPresence has this process's replica report how far it is, and listens to what all replicas report.
func (s *Server) startPresence() error {
	fleet, err := replicas.NewFleet(s.bus.Conn())
	if err != nil {
		return err
	}
	s.replicas = fleet
	s.parts.Push("replicas", func(context.Context) error { fleet.Close(); return nil })
	registerFleetMetrics(s.reg, fleet)
	p, err := revocationnats.NewPresence(s.bus.Conn(), s.replica, revocationnats.PresenceConfig{Group: s.cfg.ReplicaGroup, Version: s.opts.Version, Passes: s.passes})
	if err != nil {
		return fmt.Errorf("report the replica: %w", err)
	}
	s.parts.Push("presence", func(context.Context) error { return p.Close() })
	return nil
}

// present returns all replicas that report, or have in the last hour, those of other services among them. They answer questions under the ids that they report.
func (s *Server) present(context.Context) ([]replicas.Member, error) {
	return s.replicas.Members(), nil
}

func registerFleetMetrics(reg prometheus.Registerer, f *replicas.Fleet) {
	gauge := func(name, help string, value func(members []replicas.Member) int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "curfew", Subsystem: "replicas", Name: name, Help: help},
			func() float64 { return float64(value(f.Members())) }))
	}
	ended := func(members []replicas.Member) (n int) {
		for _, m := range members {
			if m.Ended {
				n++
			}
		}
		return n
	}
	gauge("reporting", "Replicas that report and hold a lease.", func(members []replicas.Member) int { return len(members) - ended(members) })
	gauge("lease_ended", "Replicas whose lease has run out in the last hour and that haven't come back.", ended)
	counter := func(name, help string, value func() uint64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "curfew", Subsystem: "replicas", Name: name, Help: help}, func() float64 { return float64(value()) }))
	}
	counter("reports_total", "Reports of replicas that were heard.", f.Heard)
	counter("bad_reports_total", "Reports that weren't in form, or for which there was no room.", f.Bad)
}

// gatewayFleet returns what asks all gateways, and makes it where there is none yet.
func (s *Server) gatewayFleet(ctx context.Context) (*gateways.Fleet, error) {
	if s.gateways != nil {
		return s.gateways, nil
	}
	kv, err := s.bus.KeyValue(ctx, bus.GatewaysBucket())
	if err != nil {
		return nil, err
	}
	fleet := gateways.NewFleet(s.bus.Conn(), kv, gateways.FleetConfig{})
	s.parts.Push("fleet", func(context.Context) error { fleet.Close(); return nil })
	s.gateways = fleet
	return fleet, nil
}

// startReceipts makes what finds out whom a revocation has reached.
func (s *Server) startReceipts(ctx context.Context) (*receipts.Desk, error) {
	gatewayFleet, err := s.gatewayFleet(ctx)
	if err != nil {
		return nil, err
	}
	secrets, err := s.bus.KeyValue(ctx, bus.SecretsBucket())
	if err != nil {
		return nil, err
	}
	keys, err := signing.Open(ctx, secrets)
	if err != nil {
		return nil, err
	}
	kv, err := s.bus.KeyValue(ctx, bus.ReceiptsBucket())
	if err != nil {
		return nil, err
	}
	desk, err := receipts.New(receipts.Config{
		Replicas: s.replicas, Gateways: gatewayFleet, Stream: func() string { return s.replica.Status().Made },
		Bucket: kv, Kept: ledger.NewReader(s.bus.JetStream(), "KV_"+kv.Bucket()), Keys: keys,
		Lost: s.metrics.ReceiptsLost.Inc, Log: s.log.WithField(telemetry.FieldComponent, "receipts"),
	})
	if err != nil {
		return nil, err
	}
	s.parts.Go("receipts", desk.Run)
	return desk, nil
}
