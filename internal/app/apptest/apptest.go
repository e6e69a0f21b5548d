package apptest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/app"
)

// Server serves calls until the test ends. It is safe for concurrent use.
type Server struct {
	URL    string
	Client *http.Client
	// Handler is what is served.
	Handler http.Handler
	// Stop ends the contexts of all requests, also of those to come, as a process that stops does.
	Stop context.CancelFunc
}

// Serve serves what routes adds.
func Serve(t testing.TB, routes func(*http.ServeMux)) *Server {
	t.Helper()
	mux := http.NewServeMux()
	routes(mux)
	s := &Server{Handler: app.API(mux)}
	serving, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	srv := httptest.NewUnstartedServer(s.Handler)
	srv.Config.BaseContext = func(net.Listener) context.Context { return serving }
	srv.Start()
	s.URL, s.Client, s.Stop = srv.URL, srv.Client(), stop
	t.Cleanup(func() { stop(); srv.Close() })
	return s
}

// Send makes a call with an API key, and returns its answer as it begins: the caller closes the body. header holds names and values in turn.
func (s *Server) Send(ctx context.Context, key, method, path, body string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return s.Client.Do(req)
}

// Call makes a call that has to be answered, and reads the answer: the body of the response is closed.
func (s *Server) Call(t testing.TB, key, method, path, body string, header ...string) (*http.Response, []byte) {
	t.Helper()
	resp, err := s.Send(t.Context(), key, method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, answer
}
