package revocationhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
)

// endpoint is one call of Curfew's HTTP API.
type endpoint struct {
	url    string
	client *http.Client
	// closeIdle closes the connections of a transport that newEndpoint made.
	closeIdle func()
}

// newEndpoint returns the call path of the server at base. Without a transport it makes one that keeps conns connections alive and uses no proxy.
func newEndpoint(base, path string, transport http.RoundTripper, timeout time.Duration, conns int) endpoint {
	closeIdle := func() {}
	if transport == nil {
		t := &http.Transport{
			DialContext:         (&net.Dialer{Timeout: timeout}).DialContext,
			TLSHandshakeTimeout: timeout, IdleConnTimeout: 90 * time.Second,
			MaxIdleConns: conns, MaxIdleConnsPerHost: conns,
			MaxResponseHeaderBytes: maxAnswerBytes, DisableCompression: true, ForceAttemptHTTP2: true,
		}
		transport, closeIdle = t, t.CloseIdleConnections
	}
	return endpoint{
		url: strings.TrimSuffix(base, "/") + path, closeIdle: closeIdle,
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			// Whoever can make the server redirect would choose who answers, and get the key.
			return http.ErrUseLastResponse
		}},
	}
}

// answer is what a server has answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// isJSON reports whether the body says that it is JSON.
func (a answer) isJSON() bool {
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// errUnaskable is why nothing could be sent.
var errUnaskable = errors.New("the request can't be made")

// post sends JSON and returns the answer, of whose body it reads one byte more than most, at most.
func (e endpoint) post(ctx context.Context, key APIKey, body []byte, most int) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errUnaskable, err)
	}
	req.Header.Set("Authorization", key.authorization())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	// To be told twice changes nothing, so that net/http may repeat it when the server has just closed an idle connection. An empty one isn't sent.
	req.Header["Idempotency-Key"] = nil
	resp, err := e.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	if err != nil {
		return answer{}, fmt.Errorf("read its answer: %w", err)
	}
	return answer{resp.StatusCode, resp.Header, text}, nil
}

// urlFault returns what is wrong with the address of a server, or nil. config names whose it is.
func urlFault(config, text string, allowHTTP bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		// The parser's error quotes it.
		return errors.New(config + ": URL must be an absolute https URL without credentials, query or fragment")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme == "http" && !loopback && !allowHTTP {
		return errors.New(config + ": URL must be https; http is for loopback only, unless DangerouslyAllowHTTP says so")
	}
	return nil
}

// keyFaults returns what is wrong with the keys of tenants, which have that scope.
func keyFaults(config, scope string, keys map[string]APIKey) (errs []error) {
	if len(keys) == 0 {
		errs = append(errs, errors.New(config+": Keys is required: make a key with 'curfew keys create --scopes "+scope+"', and give it under its tenant"))
	}
	for _, tenant := range slices.Sorted(maps.Keys(keys)) {
		if remedy := events.TenantFault(tenant); remedy != "" {
			errs = append(errs, fmt.Errorf("%s: Keys: %q isn't the name of a tenant: %s", config, tenant, remedy))
		}
		if !keys[tenant].usable() {
			errs = append(errs, fmt.Errorf("%s: Keys: the key of tenant %q is empty, or holds what no key does, such as a space: give the key alone", config, tenant))
		}
	}
	return errs
}
