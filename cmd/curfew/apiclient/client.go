package apiclient

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// ErrUnreachable is returned when no server answers.
var ErrUnreachable = errors.New("no curfew answers there")

// ErrNoKey is returned when no API key was given.
var ErrNoKey = errors.New("no API key")

// Error is a refusal by the server.
type Error struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Retry  bool   `json:"retry"`
	Faults []struct {
		Field  string `json:"field"`
		Detail string `json:"detail"`
	} `json:"errors"`
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%d %s)", e.Detail, e.Status, e.Code)
	for _, f := range e.Faults {
		fmt.Fprintf(&b, "\n  %s %s", f.Field, f.Detail)
	}
	return b.String()
}

// Client calls one server with one key. It is safe for concurrent use.
type Client struct {
	base string
	key  string
	http *http.Client
}

// New returns a client. base is such as http://127.0.0.1:7080. key may be empty for calls that need none.
func New(base, key string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the server's address must look like http://127.0.0.1:7080")
	}
	return &Client{base: strings.TrimSuffix(base, "/"), key: key, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: 35 * time.Second},
	}}, nil
}

// Patient returns a client that waits as long as ctx lasts for an answer to begin, for calls that read a whole ledger first. It is to be closed too.
func (c *Client) Patient() *Client {
	return &Client{base: c.base, key: c.key, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}}}
}

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ReadKeyFile returns the key in a file, as serve writes it. A file that others can read is refused.
func ReadKeyFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("API key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("API key file %s can be read by others: chmod 600 %s", path, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("API key file: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Call sends in as JSON, if it isn't nil, and reads the answer into out, if it isn't nil. header may be nil.
func (c *Client) Call(ctx context.Context, method, path string, header http.Header, in, out any) error {
	resp, err := c.send(ctx, method, path, header, in)
	if err != nil {
		return err
	}
	defer func() {
		// What is left unread would keep the connection from being used again.
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
		_ = resp.Body.Close()
	}()
	if resp.StatusCode >= 400 {
		return refusal(resp)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	return nil
}

// Lines calls fn for each line of a streamed answer that isn't empty, until the stream, ctx or fn ends it.
func (c *Client) Lines(ctx context.Context, path string, fn func([]byte) error) error {
	resp, err := c.send(ctx, http.MethodGet, path, http.Header{"Accept": {lineType}}, nil)
	if err != nil {
		return err
	}
	return c.lines(ctx, resp, fn)
}

// PostLines sends lines, and calls fn for each line of the answer as Lines does. in is read to its end, or until the server refuses.
func (c *Client) PostLines(ctx context.Context, path string, in io.Reader, fn func([]byte) error) error {
	resp, err := c.request(ctx, http.MethodPost, path, http.Header{"Content-Type": {lineType}}, in)
	if err != nil {
		return err
	}
	return c.lines(ctx, resp, fn)
}

const lineType = "application/x-ndjson"

func (c *Client) lines(ctx context.Context, resp *http.Response, fn func([]byte) error) error {
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 400 {
		return refusal(resp)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := fn(lines.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: the stream broke: %w", ErrUnreachable, err)
	}
	return nil
}

// Bytes copies a streamed answer to w, and returns an error if it isn't whole.
func (c *Client) Bytes(ctx context.Context, path string, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 400 {
		return refusal(resp)
	}
	in := &watchedReader{Reader: resp.Body}
	if _, err = io.Copy(w, in); err == nil {
		return nil
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case in.err != nil:
		return fmt.Errorf("%w: the answer broke off: %w", ErrUnreachable, in.err)
	}
	return err
}

// watchedReader tells an error of reading from one of writing.
type watchedReader struct {
	io.Reader
	err error
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

func (c *Client) send(ctx context.Context, method, path string, header http.Header, in any) (*http.Response, error) {
	if in == nil {
		return c.request(ctx, method, path, header, nil)
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json")
	return c.request(ctx, method, path, header, bytes.NewReader(b))
}

func (c *Client) request(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		// The URL may hold ids; the cause behind it doesn't.
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("%s: %w: %w", c.base, ErrUnreachable, err)
	}
	return resp, nil
}

func refusal(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if json.Unmarshal(b, e) != nil || e.Code == "" {
		e.Code, e.Detail = "not_curfew", "The answer isn't Curfew's: does the address lead to it?"
	}
	e.Status = resp.StatusCode
	return e
}
