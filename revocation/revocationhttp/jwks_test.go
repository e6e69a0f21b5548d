package revocationhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// endpoint is a JWKS endpoint without a network, so that it works within synctest.
type endpoint struct {
	mu sync.Mutex
	// fetches counts.
	fetches int
	answer  func(*http.Request) (*http.Response, error)
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.fetches++
	answer := e.answer
	e.mu.Unlock()
	return answer(r)
}

func (e *endpoint) set(answer func(*http.Request) (*http.Response, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fetches
}

func keySet(kids ...string) []byte {
	var set jose.JSONWebKeySet
	for _, kid := range kids {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &rsaKey(kid, 2048).PublicKey, KeyID: kid, Algorithm: "RS256", Use: "sig"})
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return b
}

func answers(status int, body []byte, cacheControl string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		if cacheControl != "" {
			h.Set("Cache-Control", cacheControl)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
	}
}

func down(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

// slow answers after d, unless the fetch is given up.
func slow(d time.Duration, then func(*http.Request) (*http.Response, error)) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return then(r)
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
	}
}

func signedBy(t testing.TB, kid string) string {
	t.Helper()
	return signRaw(t, jose.RS256, rsaKey(kid, 2048), `{"alg":"RS256","kid":"`+kid+`"}`, with(nil))
}

func newRemote(t testing.TB, e *endpoint, change func(*revocationhttp.JWKSConfig)) *revocationhttp.JWT {
	t.Helper()
	cfg := revocationhttp.JWKSConfig{URL: "https://id.example.com/jwks", Transport: e}
	if change != nil {
		change(&cfg)
	}
	return newJWT(t, func(c *revocationhttp.JWTConfig) { c.Keys = revocationhttp.JWKS(cfg) })
}

func check(t *testing.T, j *revocationhttp.JWT, token string, want error) {
	t.Helper()
	if _, _, err := j.Parse(t.Context(), token); !errors.Is(err, want) {
		t.Errorf("Parse = %v, want %v", err, want)
	}
}

func bubble(t *testing.T, f func(t *testing.T, e *endpoint)) {
	t.Helper()
	for _, kid := range []string{"a", "b", "c"} {
		rsaKey(kid, 2048) // outside of the bubble: keys are made once
	}
	synctest.Test(t, func(t *testing.T) { f(t, &endpoint{answer: answers(200, keySet("a"), "")}) })
}

func TestJWKSRotation(t *testing.T) {
	bubble(t, func(t *testing.T, e *endpoint) {
		j := newRemote(t, e, nil)
		check(t, j, signedBy(t, "a"), nil)
		check(t, j, signedBy(t, "a"), nil)
		if n := e.count(); n != 1 {
			t.Fatalf("%d fetches, want 1", n)
		}
		e.set(answers(200, keySet("a", "b"), ""))
		check(t, j, signedBy(t, "b"), nil)
		if n := e.count(); n != 2 {
			t.Fatalf("%d fetches after the rotation, want 2", n)
		}
		// The set is replaced whole: a key that is gone verifies nothing any more.
		e.set(answers(200, keySet("b"), ""))
		time.Sleep(11 * time.Minute)
		check(t, j, signedBy(t, "b"), nil)
		synctest.Wait()
		check(t, j, signedBy(t, "a"), revocationhttp.ErrInvalidToken)
	})
}

// Strangers' kids don't make us hammer the issuer.
func TestJWKSUnknownKid(t *testing.T) {
	bubble(t, func(t *testing.T, e *endpoint) {
		e.set(answers(200, keySet("a"), "max-age=3600"))
		j := newRemote(t, e, nil)
		check(t, j, signedBy(t, "a"), nil)
		unknown := signRaw(t, jose.RS256, rsaKey("b", 2048), `{"alg":"RS256","kid":"../../etc/passwd"}`, with(nil))
		for range 10 * 50 {
			check(t, j, unknown, revocationhttp.ErrInvalidToken)
			time.Sleep(6 * time.Second)
		}
		if n := e.count() - 1; n < 40 || n > 50 {
			t.Errorf("%d fetches in 50 minutes, want about one in 60 to 75 s", n)
		}
	})
}

func TestJWKSDown(t *testing.T) {
	bubble(t, func(t *testing.T, e *endpoint) {
		j := newRemote(t, e, nil)
		e.set(down)
		check(t, j, signedBy(t, "a"), revocationhttp.ErrKeysUnavailable)
		for range 100 {
			check(t, j, signedBy(t, "a"), revocationhttp.ErrKeysUnavailable)
		}
		if n := e.count(); n != 1 {
			t.Errorf("%d fetches at once, want 1", n)
		}
		time.Sleep(time.Second)
		e.set(answers(200, keySet("a"), ""))
		check(t, j, signedBy(t, "a"), nil)

		// Down for 23 hours: the old keys are good. What only a fetch could tell of is no bad token.
		e.set(down)
		before := e.count()
		token := signRaw(t, jose.RS256, rsaKey("a", 2048), `{"alg":"RS256","kid":"a"}`, with(map[string]any{"exp": time.Now().Add(48 * time.Hour).Unix()}))
		for range 23 * 60 {
			time.Sleep(time.Minute)
			check(t, j, token, nil)
			synctest.Wait()
		}
		if n := e.count() - before; n < 20*60 || n > 46*60 {
			t.Errorf("%d fetches in 23 hours, want about one or two a minute", n)
		}
		check(t, j, signedBy(t, "b"), revocationhttp.ErrKeysUnavailable)
		time.Sleep(2 * time.Hour)
		check(t, j, signedBy(t, "a"), revocationhttp.ErrKeysUnavailable)
		time.Sleep(time.Minute)
		e.set(answers(200, keySet("a", "b"), ""))
		check(t, j, signedBy(t, "b"), nil)
	})
}

// What isn't a good set never replaces one (trap 9).
func TestJWKSNonsense(t *testing.T) {
	big := append(keySet("b"), bytes.Repeat([]byte(" "), 10<<20)...)
	many := []byte(`{"keys":[` + strings.Repeat(`{"kty":"oct"},`, 100) + `{"kty":"oct"}]}`)
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"empty set": answers(200, []byte(`{"keys":[]}`), ""), "no set": answers(200, []byte(`{}`), ""), "empty": answers(200, nil, ""),
		"html": answers(200, []byte("<html>"), ""), "error": answers(500, keySet("b"), ""), "not modified": answers(304, nil, ""),
		"10 MB": answers(200, big, ""), "101 keys": answers(200, many, ""), "too slow": slow(time.Minute, answers(200, keySet("b"), "")),
		"redirect": func(r *http.Request) (*http.Response, error) {
			res, _ := answers(302, nil, "")(r)
			res.Header.Set("Location", "https://id.example.com/other")
			return res, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, e *endpoint) {
				var failed atomic.Int64
				j := newRemote(t, e, func(c *revocationhttp.JWKSConfig) {
					c.OnFetch = func(err error) {
						if err != nil {
							failed.Add(1)
						}
					}
				})
				check(t, j, signedBy(t, "a"), nil)
				e.set(answer)
				began := time.Now()
				check(t, j, signedBy(t, "b"), revocationhttp.ErrKeysUnavailable)
				if took := time.Since(began); took > revocationhttp.DefaultFetchTimeout {
					t.Errorf("it took %v", took)
				}
				check(t, j, signedBy(t, "a"), nil)
				synctest.Wait() // OnFetch is told after who waited goes on
				if e.count() != 2 || failed.Load() != 1 {
					t.Errorf("%d fetches and %d failures, want 2 and 1", e.count(), failed.Load())
				}
			})
		})
	}
}

// A slow endpoint holds up only who can't do without, and one fetch serves all of them.
func TestJWKSSlow(t *testing.T) {
	bubble(t, func(t *testing.T, e *endpoint) {
		e.set(slow(3*time.Second, answers(200, keySet("a"), "")))
		j := newRemote(t, e, nil)
		began := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { check(t, j, signedBy(t, "a"), nil) })
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := j.Parse(impatient, signedBy(t, "a")); !errors.Is(err, revocationhttp.ErrKeysUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an impatient request got %v", err)
		}
		wg.Wait()
		if took := time.Since(began); took != 3*time.Second || e.count() != 1 {
			t.Errorf("%d fetches in %v, want 1 in 3s", e.count(), took)
		}
		time.Sleep(11 * time.Minute) // the set may be asked for again
		began = time.Now()
		check(t, j, signedBy(t, "a"), nil)
		if took := time.Since(began); took != 0 {
			t.Errorf("a request with a known key waited %v", took)
		}
		synctest.Wait()
		if e.count() != 2 {
			t.Errorf("%d fetches, want 2", e.count())
		}
	})
}

func TestJWKSCacheControl(t *testing.T) {
	for _, tc := range []struct {
		header string
		want   time.Duration
	}{
		{"", 10 * time.Minute}, {"max-age=300", 5 * time.Minute}, {"public, Max-Age=300", 5 * time.Minute}, {`max-age="300"`, 5 * time.Minute},
		{"max-age=1", time.Minute}, {"max-age=999999", time.Hour}, {"max-age=-1", 10 * time.Minute}, {"max-age=99999999999999", 10 * time.Minute},
		{"no-store", time.Minute}, {"max-age=300, no-cache", time.Minute}, {"s-maxage=5", 10 * time.Minute},
	} {
		t.Run(tc.header, func(t *testing.T) {
			bubble(t, func(t *testing.T, e *endpoint) {
				e.set(answers(200, keySet("a"), tc.header))
				j := newRemote(t, e, nil)
				check(t, j, signedBy(t, "a"), nil)
				time.Sleep(tc.want - time.Second)
				check(t, j, signedBy(t, "a"), nil)
				synctest.Wait()
				if n := e.count(); n != 1 {
					t.Errorf("%d fetches a second before %v", n, tc.want)
				}
				time.Sleep(time.Second)
				check(t, j, signedBy(t, "a"), nil)
				synctest.Wait()
				if n := e.count(); n != 2 {
					t.Errorf("%d fetches after %v, want 2", n, tc.want)
				}
			})
		})
	}
}

func TestJWKSMaxStaleNegative(t *testing.T) {
	bubble(t, func(t *testing.T, e *endpoint) {
		j := newRemote(t, e, func(c *revocationhttp.JWKSConfig) { c.MaxStale = -1 })
		check(t, j, signedBy(t, "a"), nil)
		e.set(down)
		time.Sleep(11 * time.Minute)
		check(t, j, signedBy(t, "a"), revocationhttp.ErrKeysUnavailable)
	})
}

func TestJWKSClose(t *testing.T) {
	bubble(t, func(t *testing.T, e *endpoint) {
		j := newRemote(t, e, nil)
		check(t, j, signedBy(t, "a"), nil)
		e.set(slow(time.Hour, down))
		done := make(chan struct{})
		go func() {
			defer close(done)
			check(t, j, signedBy(t, "b"), revocationhttp.ErrKeysUnavailable)
		}()
		synctest.Wait()
		began := time.Now()
		for range 2 {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		}
		<-done
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		check(t, j, signedBy(t, "a"), nil)
		check(t, j, signedBy(t, "b"), revocationhttp.ErrKeysUnavailable)
		if n := e.count(); n != 2 {
			t.Errorf("%d fetches, want 2: none after Close", n)
		}
	})
}

// Over a real network: TLS, no redirects (OWASP ASVS 5.0, 15.3.2), http on loopback only.
func TestJWKSOverHTTP(t *testing.T) {
	var inner atomic.Int64
	secret := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		inner.Add(1)
		_, _ = w.Write(keySet("a"))
	}))
	defer secret.Close()
	redirecting := httptest.NewTLSServer(http.RedirectHandler(secret.URL, http.StatusTemporaryRedirect))
	defer redirecting.Close()
	remote := func(cfg revocationhttp.JWKSConfig) *revocationhttp.JWT {
		return newJWT(t, func(c *revocationhttp.JWTConfig) { c.Keys = revocationhttp.JWKS(cfg) })
	}
	check(t, remote(revocationhttp.JWKSConfig{URL: redirecting.URL, Transport: redirecting.Client().Transport}), signedBy(t, "a"), revocationhttp.ErrKeysUnavailable)
	if inner.Load() != 0 {
		t.Error("the redirect to loopback was followed")
	}
	check(t, remote(revocationhttp.JWKSConfig{URL: redirecting.URL}), signedBy(t, "a"), revocationhttp.ErrKeysUnavailable) // unknown CA
	check(t, remote(revocationhttp.JWKSConfig{URL: secret.URL}), signedBy(t, "a"), nil)
	if inner.Load() != 1 {
		t.Errorf("%d fetches over http on loopback, want 1", inner.Load())
	}
}
