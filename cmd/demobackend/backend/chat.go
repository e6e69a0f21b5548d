package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

const (
	chatProtocol = "chat.v1"
	// tokenPrefix comes before the token, which a page offers as a further subprotocol: in a URL others would log it.
	tokenPrefix  = "token."
	maxSaidBytes = 2 << 10
	writeTimeout = 2 * time.Second
	// maxUnsaid is how many messages wait for a chatter that reads slowly.
	maxUnsaid = 64
)

// handleChat opens a chatter's conn. The page can't be asked for its cookie here, which is the application's: it brings a token that the application's server has made for it.
func (b *Backend) handleChat(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") != b.cfg.Origin {
		http.Error(w, "this page may not chat", http.StatusForbidden)
		return
	}
	session, err := b.chatter(r)
	if err != nil {
		revocationhttp.AnswerError(err).Write(w)
		return
	}
	// Watch before anything is said: what ends the session from here on ends ctx. The request's own context ends when it is hijacked.
	ctx, stop, d := b.replica.Watch(context.WithoutCancel(r.Context()), session, revocation.Require{})
	defer stop()
	if d.State != revocation.Active {
		revocationhttp.Answer(d).Write(w)
		return
	}
	nc, read, _, err := ws.HTTPUpgrader{Protocol: func(p string) bool { return p == chatProtocol }}.Upgrade(r, w)
	if err != nil {
		return // it is answered
	}
	c := &chatter{nc: nc, from: read, user: session.User, unsaid: make(chan []byte, maxUnsaid), over: make(chan struct{})}
	defer c.close()
	b.room.enter(c)
	defer b.room.leave(c)
	// Closing what it reads from ends the loop below.
	ended := context.AfterFunc(ctx, c.signOut)
	defer ended()
	var writing sync.WaitGroup
	writing.Go(c.write)
	c.listen(b.room)
	c.close()
	writing.Wait()
}

// chatter reads who opens a chat. The token is good once.
func (b *Backend) chatter(r *http.Request) (revocation.Session, error) {
	token := ""
	for _, offered := range strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",") {
		if t, ok := strings.CutPrefix(strings.TrimSpace(offered), tokenPrefix); ok {
			token = t
		}
	}
	if token == "" {
		return revocation.Session{}, revocationhttp.ErrNoSession
	}
	session, expires, err := b.chat.Parse(r.Context(), token)
	if err != nil {
		return revocation.Session{}, err
	}
	if !b.use(token, expires.Add(clockLeeway)) {
		return revocation.Session{}, fmt.Errorf("%w: it was used before", revocationhttp.ErrInvalidToken)
	}
	return session, nil
}

// use reports whether a token, which is good until then, is used for the first time. It is remembered for as long by what is signed: the signature itself can be written in more than one way.
func (b *Backend) use(token string, until time.Time) bool {
	signed := token[:strings.LastIndexByte(token, '.')]
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for old, good := range b.used {
		if good.Before(now) {
			delete(b.used, old)
		}
	}
	if _, used := b.used[signed]; used {
		return false
	}
	b.used[signed] = until
	return true
}

// room is where chatters hear each other.
type room struct {
	mu       sync.Mutex
	chatters map[*chatter]struct{} // guarded by mu
}

func newRoom() *room { return &room{chatters: map[*chatter]struct{}{}} }

func (r *room) enter(c *chatter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.chatters[c] = struct{}{}
}

func (r *room) leave(c *chatter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.chatters, c)
}

// say tells all. Who doesn't keep up is cut off.
func (r *room) say(message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.chatters {
		select {
		case c.unsaid <- message:
		default:
			c.close()
		}
	}
}

// chatter is one conn. Its Write is for whole frames.
type chatter struct {
	nc net.Conn
	// from reads from nc, and has what came right behind the handshake.
	from   io.Reader
	user   string
	unsaid chan []byte
	// over is closed with the conn.
	over chan struct{}
	once sync.Once

	mu sync.Mutex // held while a frame is written
}

// listen takes what the chatter says until the conn ends.
func (c *chatter) listen(r *room) {
	from := &wsutil.Reader{Source: c.from, State: ws.StateServerSide, CheckUTF8: true, MaxFrameSize: maxSaidBytes}
	control := wsutil.ControlFrameHandler(c, ws.StateServerSide)
	from.OnIntermediate = control
	for {
		header, err := from.NextFrame()
		if err != nil {
			return
		}
		if header.OpCode.IsControl() {
			if control(header, from) != nil {
				return
			}
			continue
		}
		text, err := io.ReadAll(io.LimitReader(from, maxSaidBytes))
		if err != nil || header.OpCode != ws.OpText {
			return
		}
		said, err := json.Marshal(map[string]string{"from": c.user, "text": string(text)})
		if err != nil {
			return
		}
		r.say(said)
	}
}

// write tells the chatter what is said until the conn ends.
func (c *chatter) write() {
	for {
		select {
		case <-c.over:
			return
		case message := <-c.unsaid:
			if _, err := c.Write(ws.MustCompileFrame(ws.NewTextFrame(message))); err != nil {
				c.close()
				return
			}
		}
	}
}

func (c *chatter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails only where writing does
	return c.nc.Write(p)
}

// signOut cuts the conn, and says why, as Curfew's gateways do: don't come back with this session.
func (c *chatter) signOut() {
	frame, err := ws.CompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(tab.CloseSignedOut), "signed out")))
	if err == nil {
		_, _ = c.Write(frame) // whether it is read or not
	}
	c.close()
}

func (c *chatter) close() {
	c.once.Do(func() {
		close(c.over)
		_ = c.nc.Close()
	})
}
