package backend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

const (
	// audienceAPI and audienceChat keep a token of one from being used for the other.
	audienceAPI  = "demobackend"
	audienceChat = "demobackend-chat"
	// clockLeeway is how far the application's clock may be off.
	clockLeeway = 5 * time.Second
	// maxNotes bounds what one user keeps here.
	maxNotes = 100
)

// Backend is the service. Make it with New and close it.
type Backend struct {
	cfg     Config
	replica *revocation.Replica
	api     *revocationhttp.Middleware
	chat    *revocationhttp.JWT
	tokens  *revocationhttp.JWT
	room    *room

	mu sync.Mutex
	// notes: user → notes, oldest first. used: what is signed of a chat's token → when it may be forgotten. Both are guarded by mu.
	notes map[string][]string
	used  map[string]time.Time
}

// New returns a backend over a replica, which stays the caller's.
func New(cfg Config, replica *revocation.Replica) (*Backend, error) {
	b := &Backend{cfg: cfg, replica: replica, room: newRoom(), notes: map[string][]string{}, used: map[string]time.Time{}}
	reader := func(audience string) (*revocationhttp.JWT, error) {
		return revocationhttp.NewJWT(revocationhttp.JWTConfig{
			Algorithms: []jose.SignatureAlgorithm{jose.HS256}, Keys: revocationhttp.StaticKey(cfg.Key), Audience: []string{audience}, Leeway: clockLeeway,
		})
	}
	var err error
	if b.tokens, err = reader(audienceAPI); err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	if b.chat, err = reader(audienceChat); err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	if b.api, err = revocationhttp.New(revocationhttp.Config{Replica: replica, Session: b.caller}); err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	return b, nil
}

// Close ends what New has started.
func (b *Backend) Close() {
	_ = b.api.Close()
	_ = b.tokens.Close()
	_ = b.chat.Close()
}

// Handler serves everything.
func (b *Backend) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /api/notes", b.api.Handler(http.HandlerFunc(b.listNotes)))
	mux.Handle("POST /api/notes", b.api.Handler(http.HandlerFunc(b.addNote)))
	mux.HandleFunc("GET /chat", b.handleChat)
	mux.HandleFunc("GET /healthz", b.health)
	return mux
}

// caller is the session that the application's server speaks for. The headers say who that is, and the token that it is the application that says so.
func (b *Backend) caller(r *http.Request) (revocation.Session, error) {
	session, err := b.tokens.Session(r)
	if err != nil {
		return revocation.Session{}, err
	}
	for name, want := range map[string]string{"X-User-ID": session.User, "X-Session-ID": session.ID} {
		if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
			return revocation.Session{}, fmt.Errorf("%w: %s isn't the token's", revocationhttp.ErrInvalidToken, name)
		}
	}
	return session, nil
}

type notes struct {
	User    string   `json:"user"`
	Session string   `json:"session"`
	Notes   []string `json:"notes"`
}

func (b *Backend) listNotes(w http.ResponseWriter, r *http.Request) {
	session, _ := revocationhttp.SessionFrom(r.Context())
	b.mu.Lock()
	defer b.mu.Unlock()
	problem.JSON(w, http.StatusOK, notes{User: session.User, Session: session.ID, Notes: append([]string{}, b.notes[session.User]...)})
}

func (b *Backend) addNote(w http.ResponseWriter, r *http.Request) {
	session, _ := revocationhttp.SessionFrom(r.Context())
	var q struct {
		Text string `json:"text"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&q); err != nil || strings.TrimSpace(q.Text) == "" {
		problem.New(http.StatusUnprocessableEntity, "invalid_request", "Send {\"text\": …} with some text of at most 4 KB.").Write(w)
		return
	}
	b.mu.Lock()
	if len(b.notes[session.User]) >= maxNotes {
		b.notes[session.User] = b.notes[session.User][1:]
	}
	b.notes[session.User] = append(b.notes[session.User], strings.TrimSpace(q.Text))
	b.mu.Unlock()
	b.listNotes(w, r)
}

func (b *Backend) health(w http.ResponseWriter, _ *http.Request) {
	st := b.replica.Status()
	status := http.StatusOK
	if !st.Fresh {
		status = http.StatusServiceUnavailable
	}
	problem.JSON(w, status, map[string]any{"fresh": st.Fresh, "position": st.Position})
}
