package backend_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-jose/go-jose/v4"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/cmd/demobackend/backend"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const origin = "http://localhost:3000"

var key = bytes.Repeat([]byte("k"), 32)

// rig is a backend over a real ledger.
type rig struct {
	bus     *bus.Bus
	replica *revocation.Replica
	url     string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	b := natstest.Bus(t)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	natstest.Beat(t, b, 250*time.Millisecond)
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: revocationnats.NewFeed(b.JetStream(), revocationnats.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	svc, err := backend.New(backend.Config{Key: key, Origin: origin}, replica)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(svc.Handler())
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); svc.Close() })
	return &rig{bus: b, replica: replica, url: srv.URL}
}

// token is what the application's server signs.
func token(t *testing.T, key []byte, audience, user, session string) string {
	t.Helper()
	payload, err := json.Marshal(map[string]any{
		"aud": audience, "sub": user, "sid": session, "auth_time_ms": time.Now().Add(-time.Minute).UnixMilli(), "exp": time.Now().Add(time.Minute).Unix(), "jti": t.Name(),
	})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (r *rig) revoke(t *testing.T, session string) {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	now := events.Floor(time.Now())
	e := &events.SessionRevoked{Session: session, Common: events.Common{
		ID: id, Time: now, Source: "test", Tenant: events.DefaultTenant, Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser}, ExpiresAt: now.Add(time.Hour),
	}}
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := r.bus.Publisher().PublishAck(t.Context(), events.TopicOf(e).String(), message.NewMessage(id, data))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.replica.WaitFor(t.Context(), ack.Position); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) call(t *testing.T, method, body string, header map[string]string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+"/api/notes", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range header {
		req.Header.Set(name, v)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestHeadersAreNobodysWord: X-User-ID is believed of the application's server alone, for the user and the session that it has signed for.
func TestHeadersAreNobodysWord(t *testing.T) {
	r := newRig(t)
	good := token(t, key, "demobackend", "ada", "s-1")
	for _, test := range []struct {
		name, token, user, session string
		want                       int
	}{
		{"the application", good, "ada", "s-1", 200},
		{"headers alone", "", "ada", "s-1", 401},
		{"another user", good, "grace", "s-1", 401},
		{"another session", good, "ada", "s-2", 401},
		{"no headers", good, "", "", 401},
		{"another key", token(t, bytes.Repeat([]byte("x"), 32), "demobackend", "ada", "s-1"), "ada", "s-1", 401},
		{"a token for the chat", token(t, key, "demobackend-chat", "ada", "s-1"), "ada", "s-1", 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := map[string]string{}
			for name, v := range map[string]string{"X-User-ID": test.user, "X-Session-ID": test.session, "Authorization": "Bearer " + test.token} {
				if v != "" && v != "Bearer " {
					header[name] = v
				}
			}
			if status, body := r.call(t, http.MethodGet, "", header); status != test.want {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	header := map[string]string{"X-User-ID": "ada", "X-Session-ID": "s-1", "Authorization": "Bearer " + good}
	if status, body := r.call(t, http.MethodPost, `{"text":"milk"}`, header); status != 200 || !strings.Contains(body, "milk") {
		t.Errorf("a note: %d %s", status, body)
	}
	if status, body := r.call(t, http.MethodPost, `{"text":" "}`, header); status != 422 {
		t.Errorf("an empty note: %d %s", status, body)
	}
	r.revoke(t, "s-1")
	if status, body := r.call(t, http.MethodGet, "", header); status != 401 || !strings.Contains(body, "session_revoked") {
		t.Errorf("after the logout: %d %s", status, body)
	}
}

func (r *rig) chat(t *testing.T, from, token string) (*chatter, error) {
	t.Helper()
	d := ws.Dialer{Protocols: []string{"chat.v1", "token." + token}, Header: ws.HandshakeHeaderHTTP{"Origin": {from}}}
	nc, early, _, err := d.Dial(t.Context(), strings.Replace(r.url, "http", "ws", 1)+"/chat")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = nc.Close() })
	c := &chatter{to: nc, from: nc}
	if early != nil {
		c.from = io.MultiReader(early, nc)
	}
	return c, nil
}

type chatter struct {
	to   io.Writer
	from io.Reader
}

func (c *chatter) hear(t *testing.T) string {
	t.Helper()
	b, _, err := wsutil.ReadServerData(struct {
		io.Reader
		io.Writer
	}{c.from, c.to})
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestChatIsCut when its session ends, and others go on. A token opens one chat.
func TestChatIsCut(t *testing.T) {
	r := newRig(t)
	ada, err := r.chat(t, origin, token(t, key, "demobackend-chat", "ada", "s-1"))
	if err != nil {
		t.Fatal(err)
	}
	once := token(t, key, "demobackend-chat", "grace", "s-2")
	grace, err := r.chat(t, origin, once)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.chat(t, origin, once); err == nil {
		t.Error("a token was good twice")
	}
	if _, err := r.chat(t, "https://evil.example", token(t, key, "demobackend-chat", "eve", "s-3")); err == nil {
		t.Error("another site's page may chat")
	}
	if _, err := r.chat(t, origin, token(t, key, "demobackend", "eve", "s-3")); err == nil {
		t.Error("a token for the API is good for the chat")
	}
	if err := wsutil.WriteClientText(ada.to, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*chatter{ada, grace} {
		if got := c.hear(t); got != `{"from":"ada","text":"hello"}` {
			t.Errorf("heard %s", got)
		}
	}
	r.revoke(t, "s-1")
	if got := ada.hear(t); !strings.Contains(got, "4501") {
		t.Errorf("after the logout: %s", got)
	}
	if err := wsutil.WriteClientText(grace.to, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if got := grace.hear(t); !strings.Contains(got, "still here") {
		t.Errorf("the other one heard %s", got)
	}
	if _, err := r.chat(t, origin, token(t, key, "demobackend-chat", "ada", "s-1")); err == nil {
		t.Error("a session that is over may chat")
	}
}

// TestRunQuotesNoPassword: what can't be read of NATS_URL may be what holds a password.
func TestRunQuotesNoPassword(t *testing.T) {
	err := backend.Run(t.Context(), backend.Config{NATSURL: "nats://app:planted@host:port"}, nil)
	if err == nil || !strings.Contains(err.Error(), "NATS_URL") || strings.Contains(err.Error(), "planted") {
		t.Errorf("%v", err)
	}
}

func TestFromEnviron(t *testing.T) {
	_, err := backend.FromEnviron(func(string) string { return "" })
	for _, want := range []string{"NATS_URL", "APP_ORIGIN", "BACKEND_KEY_FILE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
}
