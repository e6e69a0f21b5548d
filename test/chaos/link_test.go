package chaos

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/curfewhq/curfew/internal/natstest"
)

// Trap 9: a link that swallows everything, and gives it out later: neither end gets an error.
func TestLinkIsBlackHoled(t *testing.T) {
	t.Parallel()
	var proxy *natstest.Proxy
	r := newRig(t, func(addr string) string {
		proxy = natstest.NewProxy(t, addr)
		return proxy.Addr()
	})
	took := r.suffers(proxy.Stall, func() { outlast(t); proxy.Heal() })
	t.Logf("fresh %v after healing", took)
	if took > soon {
		t.Errorf("fresh %v after healing, want within %v", took, soon)
	}
}

// partition is a link that loses what it is told to lose.
type partition struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

func newPartition(t *testing.T, addr string) *partition {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &partition{t: t, proxy: toxiproxy.NewProxy(server, "nats", "127.0.0.1:0", addr)}
	if err := p.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.proxy.Stop)
	return p
}

// lose drops everything that goes in a direction, upstream or downstream, and keeps the connections open.
func (p *partition) lose(direction string) {
	p.t.Helper()
	toxic := fmt.Sprintf(`{"name":%q,"type":"timeout","stream":%q,"attributes":{"timeout":0}}`, direction, direction)
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		p.t.Fatal(err)
	}
}

// heal ends lose. It closes the connections: what was lost on them is lost.
func (p *partition) heal() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	p.proxy.Toxics.ResetToxics(ctx)
}

// Trap 9: the replica is cut off from the server, in both directions or in one.
func TestPartition(t *testing.T) {
	t.Parallel()
	for _, directions := range [][]string{{"downstream"}, {"upstream"}, {"upstream", "downstream"}} {
		t.Run(strings.Join(directions, " and "), func(t *testing.T) {
			t.Parallel()
			var p *partition
			r := newRig(t, func(addr string) string {
				p = newPartition(t, addr)
				return p.proxy.Listen
			})
			if directions[0] == "upstream" && len(directions) == 1 {
				// The server hears nothing, and goes on telling: until the replica's pings have gone unanswered, it rightly vouches.
				r.auditor.grace = 4 * time.Second
			}
			took := r.suffers(func() {
				for _, d := range directions {
					p.lose(d)
				}
			}, p.heal)
			t.Logf("fresh %v after healing", took)
			if took > soon {
				t.Errorf("fresh %v after healing, want within %v", took, soon)
			}
		})
	}
}

// The link refuses and breaks connections, again and again.
func TestLinkIsReset(t *testing.T) {
	t.Parallel()
	var p *partition
	r := newRig(t, func(addr string) string {
		p = newPartition(t, addr)
		return p.proxy.Listen
	})
	stop := r.traffic()
	for range 5 {
		r.acknowledged(5)
		p.proxy.Stop()
		r.acknowledged(1)
		if err := p.proxy.Start(); err != nil {
			t.Fatal(err)
		}
		r.auditor.fresh()
	}
	stop()
	r.auditor.nothingMissed()
}
