package revocationhttp

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// Defaults of JWTConfig.
const (
	DefaultLeeway        = time.Minute
	DefaultMaxTokenBytes = 16 << 10
)

// JWTConfig is what NewJWT needs. Algorithms and Keys are required; set Issuer and Audience as well, or a token that the same issuer
// made for another service is good here.
type JWTConfig struct {
	// Algorithms are those that tokens may be signed with: RS256 to PS512, ES256 to ES512 and EdDSA, or HS256 to HS512. The two kinds
	// don't mix (a public key is no secret), and "none" isn't one.
	Algorithms []jose.SignatureAlgorithm
	// Keys is where the keys come from: StaticKey, StaticJWKS or JWKS. Nothing that a token says of its keys (jwk, jku, x5u, x5c) is
	// ever used; its kid chooses among these.
	Keys KeySource
	// Issuer is what the token's iss must be. Empty means that it isn't checked. Users are told apart by their id within a tenant,
	// so tokens of different issuers need a JWT and a tenant each.
	Issuer string
	// Audience is what the token's aud must hold one of. Empty means that it isn't checked.
	Audience []string
	// Types are the media types (typ) that a token may have, in lower case and without "application/". Nil means "jwt", "at+jwt" and
	// none at all. Logout tokens and other security events are never access tokens.
	Types []string
	// Cookie is the name of the cookie that holds the token where there is no Authorization: Bearer. Empty means that none does. A request
	// with both is refused unless they hold the same token: what serves it may go by the other one than what was checked. So is one whose
	// Cookie header names it twice, in whatever spelling.
	Cookie string
	// Claims say where the parts of a session stand.
	Claims Claims
	// TenantName is the tenant of all sessions, unless Claims.Tenant is set. Empty means events.DefaultTenant.
	TenantName string
	// DangerouslyUseIssuedAt takes iat for the auth time of tokens that have none. It is right only where tokens are never re-signed:
	// a rolling session gets a new iat at each refresh, and would outrun every cutoff.
	DangerouslyUseIssuedAt bool
	// Leeway is how far the issuer's clock may be off when exp and nbf are compared. Zero means DefaultLeeway; negative means none.
	Leeway time.Duration
	// MaxTokenBytes is how long a token may be. Zero means DefaultMaxTokenBytes.
	MaxTokenBytes int
}

// Claims are the names of the claims that the parts of a session stand in. Those of a session, user, device and client must be strings
// where they stand; their absence isn't an error here but for the replica to judge.
type Claims struct {
	// Session is the session id. Empty means "sid".
	Session string
	// User is the user id. Empty means "sub".
	User string
	// Device is the device id. Empty means "device_id".
	Device string
	// Client is the OAuth client. Empty means "client_id", or "azp" where that is absent.
	Client string
	// Tenant is the tenant. Empty means that all tokens are those of the config's TenantName. Otherwise a token without it is bad.
	Tenant string
}

// JWT reads sessions from signed JSON Web Tokens (RFC 7519, with the advice of RFC 8725). Make one with [NewJWT]; it is safe for
// concurrent use.
type JWT struct {
	cfg  JWTConfig
	keys keyring
}

// NewJWT returns a reader of tokens. It doesn't fetch anything yet. The caller closes it.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Types == nil {
		cfg.Types = []string{"", "jwt", "at+jwt"}
	}
	if cfg.TenantName == "" {
		cfg.TenantName = events.DefaultTenant
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = DefaultLeeway
	}
	cfg.Leeway = max(cfg.Leeway, 0)
	if cfg.MaxTokenBytes == 0 {
		cfg.MaxTokenBytes = DefaultMaxTokenBytes
	}
	cfg.Algorithms, cfg.Audience = slices.Clone(cfg.Algorithms), slices.Clone(cfg.Audience)
	cfg.Claims = cfg.Claims.withDefaults()
	keys, err := cfg.Keys.open(cfg.Algorithms)
	if err != nil {
		return nil, fmt.Errorf("revocationhttp jwt config: Keys: %w", err)
	}
	return &JWT{cfg: cfg, keys: keys}, nil
}

func (c JWTConfig) validate() error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("revocationhttp jwt config: "+format, args...))
	}
	symmetric := 0
	for _, alg := range c.Algorithms {
		if !slices.Contains(knownAlgorithms, alg) {
			fault("Algorithms: %q isn't a signature algorithm that is supported: use one of %v", alg, knownAlgorithms)
		}
		if isSymmetric(alg) {
			symmetric++
		}
	}
	if len(c.Algorithms) == 0 {
		fault("Algorithms is required: list what the issuer signs with, such as jose.ES256")
	}
	if symmetric > 0 && symmetric < len(c.Algorithms) {
		fault("Algorithms: HS256 to HS512 don't mix with the others: a public key would be taken for a secret")
	}
	if c.Keys == nil {
		fault("Keys is required: use JWKS, StaticJWKS or StaticKey")
	}
	if c.MaxTokenBytes < 0 {
		fault("MaxTokenBytes can't be negative: leave it zero for the default")
	}
	if c.TenantName != "" && c.Claims.Tenant != "" {
		fault("TenantName and Claims.Tenant exclude each other: the tenant is fixed, or stands in a claim")
	}
	if c.TenantName != "" && events.TenantFault(c.TenantName) != "" {
		fault("TenantName %s", events.TenantFault(c.TenantName))
	}
	if slices.Contains(c.Audience, "") {
		fault("Audience can't hold an empty name: leave it out")
	}
	return errors.Join(errs...)
}

// Close gives up fetching keys and waits for what is under way. It always returns nil and may be called any number of times. Afterwards
// tokens are still verified with the keys at hand.
func (j *JWT) Close() error {
	j.keys.close()
	return nil
}

// Session reads the session that a request's token speaks of: Config.Session. The token comes from Authorization: Bearer or, where that
// is absent and one is configured, from the cookie; never from the URL or the body. If both carry one, they must be the same. It returns ErrNoSession, or an error that wraps
// ErrInvalidToken or ErrKeysUnavailable. It may block while keys are fetched, until the request's context ends.
func (j *JWT) Session(r *http.Request) (revocation.Session, error) {
	token, err := j.token(r)
	if err != nil {
		return revocation.Session{}, err
	}
	s, _, err := j.Parse(r.Context(), token)
	return s, err
}

// token finds the request's token.
func (j *JWT) token(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", bad("more than one Authorization header") // which one counts differs between readers
	}
	bearer, hasBearer := "", false
	if len(headers) == 1 {
		scheme, token, _ := strings.Cut(headers[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			bearer, hasBearer = strings.Trim(token, " "), true
		}
	}
	cookie, hasCookie, err := j.cookie(r)
	switch {
	case err != nil:
		return "", err
	case hasBearer && hasCookie && bearer != cookie:
		// A revoked session's cookie beside a good token of somebody's: an application that reads the cookie would serve the revoked one.
		return "", bad("Authorization and the cookie hold different tokens")
	case hasBearer:
		return bearer, nil
	case hasCookie:
		return cookie, nil
	}
	return "", ErrNoSession
}

// cookie returns the token in the cookie, if one is configured. An empty cookie is none.
func (j *JWT) cookie(r *http.Request) (string, bool, error) {
	if j.cfg.Cookie == "" {
		return "", false, nil
	}
	cookies := r.CookiesNamed(j.cfg.Cookie)
	switch n := countCookies(r.Header.Values("Cookie"), j.cfg.Cookie); {
	case n > 1 || len(cookies) > 1:
		// A sibling domain can add a cookie of the same name, and the order isn't ours to rely on (RFC 6265 section 4.2.2).
		return "", false, bad("more than one cookie of the configured name")
	case n != len(cookies):
		return "", false, bad("the cookie of the configured name is malformed")
	case n == 0 || cookies[0].Value == "":
		return "", false, nil
	}
	return cookies[0].Value, true, nil
}

// countCookies counts the segments of Cookie headers that some reader might take for a cookie of that name.
func countCookies(headers []string, name string) int {
	n := 0
	for found := range cookieNames(headers) {
		if found == name {
			n++
		}
	}
	return n
}

// cookieNames returns what some reader might take for the name of a cookie, as often as it stands in Cookie headers. net/http leaves out
// cookies whose value it finds malformed, such as one in quotes with octal escapes, which others read; and what it leaves out, they would serve.
// Some part cookies at commas as well, in quotes or not.
func cookieNames(headers []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, header := range headers {
			for segment := range strings.FieldsFuncSeq(header, func(r rune) bool { return r == ';' || r == ',' }) {
				found, _, _ := strings.Cut(segment, "=")
				// Quotes around a name, and any white space, are dropped by some; JavaScript's trim takes a byte A0, read as Latin-1, for a space.
				if !yield(strings.TrimFunc(found, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' })) {
					return
				}
			}
		}
	}
}

// bad returns an error for operators; it never quotes the token. Clients get the same answer for all of them.
func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalidToken}, args...)...)
}

// Parse verifies a token and returns the session that it speaks of, and when the token expires. The session may lack parts: whether that
// is fine is for the replica to say. Errors wrap ErrInvalidToken or ErrKeysUnavailable and never quote the token. It may block while keys
// are fetched, until ctx ends.
func (j *JWT) Parse(ctx context.Context, token string) (revocation.Session, time.Time, error) {
	s, exp, err := j.parse(ctx, token, time.Now())
	if err != nil {
		return revocation.Session{}, time.Time{}, err
	}
	return s, exp, nil
}

func (j *JWT) parse(ctx context.Context, token string, now time.Time) (revocation.Session, time.Time, error) {
	var none revocation.Session
	if len(token) > j.cfg.MaxTokenBytes {
		return none, time.Time{}, bad("longer than %d bytes", j.cfg.MaxTokenBytes)
	}
	// go-jose refuses what isn't a compact JWS (RFC 7515 section 7.1), algorithms that aren't listed, and members that stand twice.
	signed, err := jose.ParseSignedCompact(token, j.cfg.Algorithms)
	if err != nil {
		return none, time.Time{}, bad("not a compact JWS signed with one of %v", j.cfg.Algorithms)
	}
	header := signed.Signatures[0].Protected
	if err := j.checkHeader(header); err != nil {
		return none, time.Time{}, err
	}
	keys, err := j.keys.find(ctx, header.KeyID, jose.SignatureAlgorithm(header.Algorithm))
	if err != nil {
		return none, time.Time{}, err
	}
	payload, ok := verify(signed, keys)
	if !ok {
		return none, time.Time{}, bad("signature doesn't verify")
	}
	c, err := readClaims(payload)
	if err != nil {
		return none, time.Time{}, err
	}
	exp, err := j.checkRegistered(c, now)
	if err != nil {
		return none, time.Time{}, err
	}
	s, err := c.session(j.cfg.Claims, j.cfg.TenantName, j.cfg.DangerouslyUseIssuedAt)
	return s, exp, err
}

func (j *JWT) checkHeader(h jose.Header) error {
	// Extensions that must be understood (RFC 7515 section 4.1.11): none is. go-jose knows one of them, b64 (RFC 7797).
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, ok := h.ExtraHeaders[name]; ok {
			return bad("header %s isn't supported", name)
		}
	}
	typ, ok := "", true
	if v, there := h.ExtraHeaders[jose.HeaderType]; there {
		typ, ok = v.(string)
	}
	if !ok || !slices.Contains(j.cfg.Types, strings.TrimPrefix(strings.ToLower(typ), "application/")) {
		return bad("header typ isn't that of an access token")
	}
	if h.KeyID != "" && events.IDFault(h.KeyID) != "" {
		return bad("header kid isn't the name of a key")
	}
	return nil
}

func verify(signed *jose.JSONWebSignature, keys []any) ([]byte, bool) {
	for _, key := range keys {
		if payload, err := signed.Verify(key); err == nil {
			return payload, true
		}
	}
	return nil, false
}
