package revocationhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// says is a gate that always gives the same answer.
func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

func active(position uint64, stalenessMS float64) string {
	return fmt.Sprintf(`{"tenant":"default","state":"active","position":%d,"staleness_ms":%v}`, position, stalenessMS)
}

const revokedVerdict = `{"tenant":"default","state":"revoked","scope":"user","reason":"password_changed","event_position":7,` +
	`"event":"01890a5d-ac96-774b-bcce-b302099a8057","at":"2026-01-02T03:04:05.678Z","position":9,"staleness_ms":99999999}`

// What a gate is asked, to the byte.
func TestAskTheQuestion(t *testing.T) {
	at := time.Date(2026, 1, 2, 4, 4, 5, 678_999_999, time.FixedZone("", 3600))
	tests := []struct {
		name    string
		session revocation.Session
		require revocation.Require
		want    string
	}{
		{"everything",
			revocation.Session{ID: `s<1>"`, User: "ü", Device: "d", Client: "c", AuthTime: at},
			revocation.Require{MaxStaleness: 3 * time.Second, Position: 1<<64 - 1, DangerouslyAllowMissingSession: true, DangerouslyAllowMissingUser: true, DangerouslyAllowMissingAuthTime: true},
			`{"session":"s\u003c1\u003e\"","user":"ü","device":"d","client":"c","auth_time":"2026-01-02T03:04:05.678Z","max_staleness_ms":3000,` +
				`"position":18446744073709551615,"dangerously_allow_missing":["session","user","auth_time"]}`},
		{"little", revocation.Session{Tenant: "default", ID: "s1"}, revocation.Require{DangerouslyAllowMissingUser: true},
			`{"session":"s1","max_staleness_ms":15000,"dangerously_allow_missing":["user"]}`},
		{"a budget of less than a millisecond", revocation.Session{ID: "s1"}, revocation.Require{MaxStaleness: 1}, `{"session":"s1","max_staleness_ms":1}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got string
				_, transport := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					r.Header.Del("User-Agent")
					r.Header.Del("Content-Length")
					r.Header.Del("Accept-Encoding")
					got = fmt.Sprint(r.Method, " ", r.Host, r.URL, " ", r.Header, " ", string(body))
					says(active(1<<64-1, 0))(w, r)
				}))
				gate := newGate(t, transport, func(c *revocationhttp.GateConfig) { c.URL = "http://localhost/inner/" })
				_, _ = gate.Ask(t.Context(), tt.session, tt.require)
				want := "POST localhost/inner/v1/check map[Accept:[application/json] Authorization:[Bearer " + keyText + "] Content-Type:[application/json]] " + tt.want
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Answers are read strictly, and believed only if they meet what was asked for.
func TestAskTheAnswer(t *testing.T) {
	const long = `{"tenant":"default","state":"active","position":9,"staleness_ms":0,"more":"%s"}`
	status := func(code int, h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			h(w, r)
		}
	}
	kind := func(mime string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mime)
			_, _ = io.WriteString(w, active(9, 0))
		}
	}
	unavailable, undetermined, refused := revocationhttp.ErrGateUnavailable, revocationhttp.ErrGateUndetermined, revocationhttp.ErrGateRefused
	tests := []struct {
		name string
		gate http.HandlerFunc
		// err is what Ask returns; nil for an answer that is believed.
		err error
	}{
		{"active", says(active(9, 0)), nil},
		{"active, just fresh enough", says(active(9, 2999.9)), nil},
		{"active, with members of later versions", says(`{"tenant":"default","state":"active","position":9,"staleness_ms":0,"later":{"a":[1]}}`), nil},
		{"active, with a charset", kind("application/json; charset=utf-8"), nil},
		{"active, as long as may be", says(fmt.Sprintf(long, strings.Repeat("x", 16<<10-len(long)+2))), nil},
		{"revoked, however stale", says(revokedVerdict), nil},

		{"too long", says(fmt.Sprintf(long, strings.Repeat("x", 16<<10-len(long)+3))), unavailable},
		{"behind", says(active(8, 0)), undetermined},
		{"too stale", says(active(9, 3000.1)), undetermined},
		{"much too stale", says(active(9, 1e300)), undetermined},
		{"without proof", says(active(9, -1)), undetermined},
		{"undetermined", says(`{"tenant":"default","state":"undetermined","cause":"replica is stale","position":9,"staleness_ms":0}`), undetermined},
		{"of another tenant", says(strings.Replace(active(9, 0), "default", "acme", 1)), refused},
		{"revoked, of another tenant", says(strings.Replace(revokedVerdict, "default", "acme", 1)), refused},
		{"of no tenant", says(`{"state":"active","position":9,"staleness_ms":0}`), unavailable},
		{"of a null tenant", says(`{"tenant":null,"state":"active","position":9,"staleness_ms":0}`), unavailable},
		{"without a position", says(`{"tenant":"default","state":"active","staleness_ms":0}`), unavailable},
		{"without staleness", says(`{"tenant":"default","state":"active","position":9}`), unavailable},
		{"without a state", says(`{"tenant":"default","position":9,"staleness_ms":0}`), unavailable},
		{"an unknown state", says(strings.Replace(active(9, 0), "active", "alive", 1)), unavailable},
		{"a state in other letters", says(strings.Replace(active(9, 0), "active", "Active", 1)), unavailable},
		{"a member in other letters", says(strings.Replace(active(9, 0), "staleness_ms", "Staleness_MS", 1)), unavailable},
		{"a member twice", says(`{"tenant":"default","state":"active","state":"active","position":9,"staleness_ms":0}`), unavailable},
		{"revoked by nothing", says(strings.Replace(revokedVerdict, "user", "world", 1)), unavailable},
		{"revoked for no reason", says(strings.Replace(revokedVerdict, "password_changed", "whim", 1)), unavailable},
		{"a negative position", says(`{"tenant":"default","state":"active","position":-1,"staleness_ms":0}`), unavailable},
		{"a position that is text", says(`{"tenant":"default","state":"active","position":"9","staleness_ms":0}`), unavailable},
		{"two values", says(active(9, 0) + active(9, 0)), unavailable},
		{"a batch", says(`{"decisions":[` + active(9, 0) + `]}`), unavailable},
		{"an array", says(`[` + active(9, 0) + `]`), unavailable},
		{"null", says(`null`), unavailable},
		{"nothing", says(``), unavailable},
		{"half", says(active(9, 0)[:40]), unavailable},
		{"a page", says(`<html>It works!</html>`), unavailable},
		{"a page by its type", kind("text/html"), unavailable},
		{"no type", kind(""), unavailable},
		{"201", status(201, says(active(9, 0))), unavailable},
		{"204", status(204, func(http.ResponseWriter, *http.Request) {}), unavailable},
		{"404", status(404, says(active(9, 0))), unavailable},
		{"429", status(429, says(active(9, 0))), unavailable},
		{"503", status(503, says(active(9, 0))), unavailable},
		{"401", status(401, says(active(9, 0))), refused},
		{"403", status(403, says(active(9, 0))), refused},
		{"422", status(422, says(active(9, 0))), unavailable},
		{"a broken connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, unavailable},
		{"a broken body", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			says(active(9, 0))(w, r)
		}, unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, transport := serveOver(t, tt.gate)
				gate := newGate(t, transport, nil)
				d, err := gate.Ask(t.Context(), session("s1", "u1"), revocation.Require{MaxStaleness: 3 * time.Second, Position: 9})
				switch {
				case !errors.Is(err, tt.err):
					t.Fatalf("%+v, %v; want %v", d, err, tt.err)
				case err != nil && d.State == revocation.Active:
					t.Errorf("an error comes with an active answer: %+v", d)
				case err == nil && strings.HasPrefix(tt.name, "active"):
					if d.State != revocation.Active || d.Position != 9 || d.Staleness < 0 || d.Staleness > 3*time.Second || d.Cause != nil {
						t.Errorf("decision %+v", d)
					}
				case err == nil:
					want := revocation.Decision{State: revocation.Revoked, Scope: revocation.ScopeUser, Reason: events.ReasonPasswordChanged, EventPosition: 7, Position: 9, Staleness: -1}
					if diff := cmp.Diff(want, d); diff != "" {
						t.Errorf("decision (-want +got):\n%s", diff)
					}
				}
				if err != nil && (strings.Contains(err.Error(), keyText) || strings.Contains(err.Error(), "s1")) {
					t.Errorf("%v holds a key or an id", err)
				}
			})
		})
	}
}

// A proof ages while its answer is on its way.
func TestAskAgesTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, transport := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-time.After(200 * time.Millisecond)
			says(active(1, 900))(w, r)
		}))
		gate := newGate(t, transport, nil)
		if d, err := gate.Ask(t.Context(), session("s1", "u1"), revocation.Require{MaxStaleness: time.Second}); !errors.Is(err, revocationhttp.ErrGateUndetermined) {
			t.Errorf("a proof of 900 ms that took 200 ms more: %+v, %v", d, err)
		}
		d, err := gate.Ask(t.Context(), session("s1", "u1"), revocation.Require{MaxStaleness: 2 * time.Second})
		if want := 1100*time.Millisecond + time.Microsecond; err != nil || d.Staleness != want {
			t.Errorf("staleness %v, %v; want %v", d.Staleness, err, want)
		}
	})
}

// A gate that is slow, in its header or in its body, is waited for no longer than the timeout, and neither is one that can't be reached.
func TestAskTimesOut(t *testing.T) {
	slow := map[string]http.HandlerFunc{
		"header": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, active(1, 0)[:20])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"drops": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				<-time.After(10 * time.Millisecond)
			}
		},
	}
	for name, h := range slow {
		for timeout, want := range map[time.Duration]time.Duration{0: 300 * time.Millisecond, time.Second: time.Second} {
			t.Run(fmt.Sprint(name, " ", want), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, transport := serveOver(t, h)
					gate := newGate(t, transport, func(c *revocationhttp.GateConfig) { c.Timeout = timeout })
					began := time.Now()
					_, err := gate.Ask(t.Context(), session("s1", "u1"), revocation.Require{})
					if took := time.Since(began); !errors.Is(err, revocationhttp.ErrGateUnavailable) || took != want {
						t.Errorf("%v after %v, want unavailable after %v", err, took, want)
					}
				})
			})
		}
	}
	t.Run("dial", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			// net/http goes on dialling for whoever asks next.
			over := make(chan struct{})
			transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { <-over; return nil, net.ErrClosed }}
			defer synctest.Wait()
			defer close(over)
			gate := newGate(t, transport, nil)
			began := time.Now()
			_, err := gate.Ask(t.Context(), session("s1", "u1"), revocation.Require{})
			if took := time.Since(began); !errors.Is(err, revocationhttp.ErrGateUnavailable) || took != 300*time.Millisecond {
				t.Errorf("%v after %v, want unavailable after 300 ms", err, took)
			}
		})
	})
}

// A gate that redirects isn't followed, neither with the key nor without.
func TestAskFollowsNoRedirect(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		says(active(1, 0))(w, r)
	}))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, code) }))
		gate := newGate(t, nil, func(c *revocationhttp.GateConfig) { c.URL = srv.URL })
		if _, err := gate.Ask(t.Context(), session("s1", "u1"), revocation.Require{}); !errors.Is(err, revocationhttp.ErrGateUnavailable) {
			t.Errorf("%d: %v", code, err)
		}
		_ = gate.Close()
		srv.Close()
	}
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// A gate that isn't there is known at once, and the error says where it was looked for.
func TestAskGateDown(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	gate := newGate(t, nil, func(c *revocationhttp.GateConfig) { c.URL, c.Timeout = srv.URL, patience })
	_, err := gate.Ask(t.Context(), session("s1", "u1"), revocation.Require{})
	var where *url.Error
	if !errors.Is(err, revocationhttp.ErrGateUnavailable) || !errors.As(err, &where) {
		t.Errorf("%v, want unavailable, with the address", err)
	}
}

// Connections are kept and used again.
func TestAskKeepsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, transport := serveOver(t, says(active(1, 0)))
		gate := newGate(t, transport, nil)
		for range 100 {
			if _, err := gate.Ask(t.Context(), session("s1", "u1"), revocation.Require{}); err != nil {
				t.Fatal(err)
			}
		}
		if dials := n.dials.Load(); dials != 1 {
			t.Errorf("%d connections for 100 questions one after the other", dials)
		}
	})
}

// What can't be asked faithfully isn't asked.
func TestAskRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		_, transport := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			says(active(1, 0))(w, r)
		}))
		gate := newGate(t, transport, nil)
		for name, s := range map[string]revocation.Session{
			"another tenant":    {Tenant: "acme", ID: "s1", User: "u1"},
			"not UTF-8":         {ID: "s\xff", User: "u1"},
			"a control":         {ID: "s1", User: "u\n1"},
			"a long id":         {ID: "s1", User: "u1", Device: strings.Repeat("x", events.MaxIDBytes+1)},
			"a client's NUL":    {ID: "s1", User: "u1", Client: "c\x00"},
			"another's default": {Tenant: "Default", ID: "s1", User: "u1"},
		} {
			if d, err := gate.Ask(t.Context(), s, revocation.Require{}); !errors.Is(err, revocationhttp.ErrGateRefused) {
				t.Errorf("%s: %+v, %v", name, d, err)
			}
		}
		if asked > 0 {
			t.Errorf("the gate was asked %d times", asked)
		}
	})
}

// Each tenant is asked for with its own key.
func TestAskWithTheTenantsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, transport := serveOver(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tenant, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer key-of-")
			says(strings.Replace(active(1, 0), "default", tenant, 1))(w, r)
		}))
		gate := newGate(t, transport, func(c *revocationhttp.GateConfig) {
			c.Keys = map[string]revocationhttp.APIKey{"default": revocationhttp.NewAPIKey("key-of-default"), "acme": revocationhttp.NewAPIKey("key-of-acme")}
		})
		for _, tenant := range []string{"", "default", "acme"} {
			if _, err := gate.Ask(t.Context(), revocation.Session{Tenant: tenant, ID: "s1"}, revocation.Require{}); err != nil {
				t.Errorf("%q: %v", tenant, err)
			}
		}
	})
}
