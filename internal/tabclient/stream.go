package tabclient

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/curfewhq/curfew/events/tab"
)

// Stream is a tab's stream of notices, as an EventSource would read it. It is read by one goroutine.
type Stream struct {
	body io.ReadCloser
	// ack posts an acknowledgement.
	ack    func(stream, id string, outcome tab.Outcome) error
	frames chan read
	// closed ends reading ahead.
	closed chan struct{}
	once   sync.Once

	mu sync.Mutex
	// name is what the first frame has named the stream by; lastID and retry are what the fields id and retry said last.
	name   string
	lastID string
	retry  time.Duration
}

type read struct {
	frame tab.Frame
	err   error
}

// DialStream exchanges a ticket for a cookie and opens a stream on url (http:// or https://, up to the host). lastID is the id that was heard last, and empty for
// none. The client's cookie jar, if it has one, isn't used.
func DialStream(ctx context.Context, client *http.Client, url, origin, ticket, lastID string) (*Stream, error) {
	cookie, err := exchange(ctx, client, url, origin, ticket)
	if err != nil {
		return nil, err
	}
	return Reopen(ctx, client, url, origin, cookie, lastID)
}

// exchange returns the cookie that a gateway gives for a ticket.
func exchange(ctx context.Context, client *http.Client, url, origin, ticket string) (*http.Cookie, error) {
	resp, err := post(ctx, client, url+"/v1/notices", origin, fmt.Sprintf(`{"ticket":%q}`, ticket))
	if err != nil {
		return nil, err
	}
	if len(resp.Cookies()) != 1 {
		return nil, errors.New("the gateway set no cookie")
	}
	return resp.Cookies()[0], nil
}

// Reopen opens a stream with a cookie that was given for a ticket before. A *StatusError of 204 says that it mustn't come again.
func Reopen(ctx context.Context, client *http.Client, url, origin string, cookie *http.Cookie, lastID string) (*Stream, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/notices", nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Origin", origin)
	q.Header.Set("Accept", "text/event-stream")
	q.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	if lastID != "" {
		q.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("open the stream: %w", err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		_ = resp.Body.Close()
		return nil, &StatusError{Status: resp.StatusCode}
	}
	return OnStream(resp.Body, func(stream, id string, outcome tab.Outcome) error {
		_, err := post(context.WithoutCancel(ctx), client, url+"/v1/notices/acks", origin, AckBody(stream, id, outcome))
		return err
	}), nil
}

// AckBody returns what acknowledges a notice of a stream.
func AckBody(stream, id string, outcome tab.Outcome) string {
	return fmt.Sprintf(`{"stream":%q,"id":%q,"outcome":%q}`, stream, id, outcome)
}

func post(ctx context.Context, client *http.Client, url, origin, body string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Origin", origin)
	q.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(q)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return nil, &StatusError{Status: resp.StatusCode}
	}
	return resp, nil
}

// OnStream returns a Stream over the body of an answer. ack posts its acknowledgements.
func OnStream(body io.ReadCloser, ack func(stream, id string, outcome tab.Outcome) error) *Stream {
	s := &Stream{body: body, ack: ack, frames: make(chan read), closed: make(chan struct{})}
	go s.readAhead()
	return s
}

func (s *Stream) readAhead() {
	from := bufio.NewReader(s.body)
	for {
		f, err := s.readEvent(from)
		if err == nil && f.Type == tab.TypeHeartbeat {
			continue
		}
		select {
		case s.frames <- read{f, err}:
		case <-s.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

// readEvent reads up to the next event that has data.
func (s *Stream) readEvent(from *bufio.Reader) (tab.Frame, error) {
	var data []byte
	for {
		line, err := from.ReadBytes('\n')
		if err != nil {
			return tab.Frame{}, err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		field, value, _ := bytes.Cut(line, []byte(": "))
		switch string(field) {
		case "":
			if len(line) == 0 && data != nil {
				return s.frame(data)
			}
		case "data":
			if data != nil {
				return tab.Frame{}, errors.New("an event with two lines of data")
			}
			data = value
		case "id":
			s.mu.Lock()
			s.lastID = string(value)
			s.mu.Unlock()
			if _, err := strconv.ParseUint(s.lastID, 10, 64); err != nil && s.lastID != tab.StreamOver {
				return tab.Frame{}, errors.New("an id that is no position")
			}
		case "retry":
			ms, err := strconv.Atoi(string(value))
			if err != nil {
				return tab.Frame{}, errors.New("a retry that is no number")
			}
			s.mu.Lock()
			s.retry = time.Duration(ms) * time.Millisecond
			s.mu.Unlock()
		default:
			if len(line) == 0 || line[0] != ':' {
				return tab.Frame{}, errors.New("a line that a gateway has no reason to send")
			}
		}
	}
}

func (s *Stream) frame(data []byte) (tab.Frame, error) {
	f, err := tab.DecodeFrame(data)
	switch {
	case err != nil:
		return f, err
	case f.Type == tab.TypeClose:
		return f, &CloseError{Code: f.Code, Reason: f.Reason}
	case f.Stream != "":
		s.mu.Lock()
		s.name = f.Stream
		s.mu.Unlock()
	}
	return f, nil
}

// Next returns the next frame. It returns a *CloseError for the last one, which says why the stream ends. It blocks until ctx ends, and may be called again then.
func (s *Stream) Next(ctx context.Context) (tab.Frame, error) {
	select {
	case r := <-s.frames:
		if r.err != nil {
			_ = s.Close()
		}
		return r.frame, r.err
	case <-s.closed:
		return tab.Frame{}, io.ErrClosedPipe
	case <-ctx.Done():
		return tab.Frame{}, context.Cause(ctx)
	}
}

// Ack acknowledges a logout notice, beside the stream.
func (s *Stream) Ack(id string, outcome tab.Outcome) error {
	return s.ack(s.Name(), id, outcome)
}

// Name is what the first frame has named the stream by.
func (s *Stream) Name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

// LastID is the id that was heard last, which a browser would come back with; empty if there was none.
func (s *Stream) LastID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastID
}

// Retry is for how long a browser would wait before it opens the stream again.
func (s *Stream) Retry() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retry
}

// Close closes the stream, as a tab that is closed does.
func (s *Stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.body.Close()
}
