package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/services/publisher"
)

// tabsPerUser is how many tabs a user has open, each with a session of its own.
const tabsPerUser = 5

// deployment is a ledger, gateways, and processes with tabs, all on this machine.
type deployment struct {
	dir      string
	ledger   *child
	gateways []*child
	loads    []*child
	// addrs are the gateways'.
	addrs []string
	// url is the ledger's API, and operator a client with the first key.
	url      string
	operator *apiclient.Client
	tenants  int
}

// shape is what a deployment has.
type shape struct {
	gateways, loads int
	heartbeat       time.Duration
	tls             bool
}

// deployed has measure use a deployment of its own.
func (b *bench) deployed(ctx context.Context, s shape, measure func(context.Context, *deployment) error) (err error) {
	d, err := deploy(ctx, s, b.errs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return measure(ctx, d)
}

func deploy(ctx context.Context, s shape, errs io.Writer) (d *deployment, err error) {
	d = &deployment{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.dir, err = os.MkdirTemp("", "curfew-fanout-"); err != nil {
		return d, err
	}
	if d.ledger, err = launch(ctx, "ledger", errs); err != nil {
		return d, err
	}
	ledger, err := d.ledger.ask(order{Do: "start", Settings: settings{Dir: filepath.Join(d.dir, "ledger")}})
	if err != nil {
		return d, err
	}
	key, err := apiclient.ReadKeyFile(ledger.KeyFile)
	if err != nil {
		return d, err
	}
	d.url = ledger.URL
	if d.operator, err = apiclient.New(ledger.URL, key); err != nil {
		return d, err
	}
	set := settings{NATS: ledger.NATS, Heartbeat: s.heartbeat}
	if s.tls {
		if set.CertFile, set.KeyFile, err = selfSigned(d.dir); err != nil {
			return d, err
		}
	}
	for i := range s.gateways {
		set.Dir = filepath.Join(d.dir, fmt.Sprint("gateway-", i))
		if err := d.addGateway(ctx, set, errs); err != nil {
			return d, err
		}
	}
	for range s.loads {
		l, err := launch(ctx, "load", errs)
		if err != nil {
			return d, err
		}
		d.loads = append(d.loads, l)
	}
	return d, nil
}

func (d *deployment) addGateway(ctx context.Context, set settings, errs io.Writer) error {
	g, err := launch(ctx, "gateway", errs)
	if err != nil {
		return err
	}
	d.gateways = append(d.gateways, g)
	a, err := g.ask(order{Do: "start", Settings: set})
	if err != nil {
		return err
	}
	_, addr, _ := strings.Cut(a.URL, "://")
	d.addrs = append(d.addrs, addr)
	return nil
}

// close ends the processes, the tabs' first, and removes the folder.
func (d *deployment) close() error {
	if d.operator != nil {
		d.operator.Close()
	}
	var errs []error
	for _, c := range append(append(d.loads, d.gateways...), d.ledger) {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// tenant is one of the deployment's, with a client that may do everything in it.
type tenant struct {
	key string
	api *apiclient.Client
}

// newTenant makes a tenant whose sessions nothing has ended yet.
func (d *deployment) newTenant(ctx context.Context) (tenant, error) {
	d.tenants++
	q := access.Request{Name: "bench", Tenant: fmt.Sprint("bench-", d.tenants), Scopes: []access.Scope{access.ScopePublish, access.ScopeAdmin}}
	var made access.Created
	if err := d.operator.Call(ctx, http.MethodPost, "/v1/keys", nil, q, &made); err != nil {
		return tenant{}, fmt.Errorf("make a key: %w", err)
	}
	api, err := apiclient.New(d.url, made.Text)
	return tenant{made.Text, api}, err
}

// revoke revokes, and returns the event's id and when the call began.
func (t tenant) revoke(ctx context.Context, r publisher.Revocation) (id string, began int64, err error) {
	var receipt publisher.Stored
	began = time.Now().UnixNano()
	err = t.api.Call(ctx, http.MethodPost, "/v1/revocations", nil, r, &receipt)
	return receipt.ID, began, err
}

// fill makes users tabs' worth at each of the first loads, which come to the gateway of the same number, and connects them.
func (d *deployment) fill(t tenant, users int, o order) ([]answer, error) {
	loads := d.loads[:len(d.gateways)]
	if _, err := askAll(loads, func(i int) order {
		return order{Do: "add", Crowd: crowd{URL: d.url, Key: t.key, Group: i, Users: users, Tabs: tabsPerUser}}
	}); err != nil {
		return nil, err
	}
	answers, err := askAll(loads, func(i int) order {
		each := o
		each.Do, each.Addr = "connect", d.addrs[i]
		return each
	})
	for i, a := range answers {
		if want := users * tabsPerUser; err == nil && a.Count != want {
			err = fmt.Errorf("%d of %d tabs are ready at gateway %d: lost %v", a.Count, want, i, a.Lost)
		}
	}
	return answers, err
}

// forget has all tabs gone, and the gateways free of them.
func (d *deployment) forget() error {
	_, err := askAll(d.loads, func(int) order { return order{Do: "forget"} })
	return err
}
