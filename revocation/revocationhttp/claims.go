package revocationhttp

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

func (c Claims) withDefaults() Claims {
	for _, d := range []struct {
		name *string
		def  string
	}{{&c.Session, "sid"}, {&c.User, "sub"}, {&c.Device, "device_id"}} {
		if *d.name == "" {
			*d.name = d.def
		}
	}
	return c
}

// claimSet holds the claims of a verified token: name → JSON value.
type claimSet map[string]json.RawMessage

// readClaims reads the payload. go-jose's own json package matches names exactly and refuses a name that stands twice; otherwise two
// readers of one token could see different sessions.
func readClaims(payload []byte) (claimSet, error) {
	c := claimSet{}
	// A payload that is "null" leaves the map empty, and exp missing.
	if !utf8.Valid(payload) || json.Unmarshal(payload, &c) != nil {
		return nil, bad("claims aren't one JSON object without repetitions")
	}
	return c, nil
}

// has reports whether a claim is there. Null is the same as absent.
func (c claimSet) has(name string) bool {
	v, ok := c[name]
	return ok && string(bytes.TrimSpace(v)) != "null"
}

// text returns a claim that must be a string where it is there; "" if it is absent.
func (c claimSet) text(name string) (string, error) {
	var s string
	// A lone surrogate reads as U+FFFD, which would make one id of several.
	if c.has(name) && (json.Unmarshal(c[name], &s) != nil || strings.ContainsRune(s, utf8.RuneError)) {
		return "", bad("claim %q isn't a string", name)
	}
	return s, nil
}

// id is text, of the form that ids have: no event could name another.
func (c claimSet) id(name string) (string, error) {
	s, err := c.text(name)
	if err != nil || s == "" {
		return s, err
	}
	if events.IDFault(s) != "" {
		return "", bad("claim %q doesn't have the form of an id", name)
	}
	return s, nil
}

// time returns a claim that is a NumericDate (RFC 7519 section 2), floored to the millisecond; the zero time if it is absent.
func (c claimSet) time(name string) (time.Time, error) {
	if !c.has(name) {
		return time.Time{}, nil
	}
	ms, ok := millisOf(string(bytes.TrimSpace(c[name])))
	if !ok {
		return time.Time{}, bad("claim %q isn't a date", name)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// millisOf reads a JSON number of seconds as milliseconds, floored. It is exact for decimals, which no float64 is.
func millisOf(number string) (int64, bool) {
	const most = 1e14 // seconds; far behind every date, far from overflow
	if strings.ContainsAny(number, "eE") {
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || f < 0 || f >= most {
			return 0, false
		}
		return int64(math.Floor(f * 1000)), true
	}
	whole, fraction, _ := strings.Cut(number, ".")
	sec, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || sec >= most {
		return 0, false
	}
	ms, err := strconv.ParseUint((fraction + "000")[:3], 10, 64)
	if err != nil {
		return 0, false
	}
	return int64(sec*1000 + ms), true
}

// checkRegistered checks iss, aud, exp and nbf, and returns exp.
func (j *JWT) checkRegistered(c claimSet, now time.Time) (time.Time, error) {
	var none time.Time
	// Security event tokens (RFC 8417), logout tokens among them, aren't for access, even where their typ doesn't say so.
	if c.has("events") {
		return none, bad("a security event token isn't an access token")
	}
	if j.cfg.Issuer != "" {
		if iss, err := c.text("iss"); err != nil || iss != j.cfg.Issuer {
			return none, bad("iss isn't the configured issuer")
		}
	}
	if len(j.cfg.Audience) > 0 && !c.forAudience(j.cfg.Audience) {
		return none, bad("aud holds none of the configured audiences")
	}
	return c.checkDates(now, j.cfg.Leeway)
}

// checkDates checks exp and nbf, and returns exp.
func (c claimSet) checkDates(now time.Time, leeway time.Duration) (time.Time, error) {
	var none time.Time
	exp, err := c.time("exp")
	switch {
	case err != nil:
		return none, err
	case exp.IsZero():
		return none, bad("exp is missing")
	case !now.Before(exp.Add(leeway)):
		return none, bad("expired")
	}
	nbf, err := c.time("nbf")
	if err != nil {
		return none, err
	}
	if now.Add(leeway).Before(nbf) {
		return none, bad("not valid yet")
	}
	return exp, nil
}

// forAudience reports whether aud, a string or an array of strings, holds one of the names.
func (c claimSet) forAudience(names []string) bool {
	var one string
	if json.Unmarshal(c["aud"], &one) == nil {
		return slices.Contains(names, one)
	}
	var many []string
	if json.Unmarshal(c["aud"], &many) != nil {
		return false
	}
	return slices.ContainsFunc(many, func(aud string) bool { return slices.Contains(names, aud) })
}

// session maps the claims by their names. What is absent stays empty. tenantName is the tenant where names has no claim for it; useIssuedAt
// takes iat for an auth time that is absent.
func (c claimSet) session(names Claims, tenantName string, useIssuedAt bool) (revocation.Session, error) {
	s := revocation.Session{Tenant: tenantName}
	client := names.Client
	if client == "" {
		if client = "client_id"; !c.has(client) {
			client = "azp"
		}
	}
	for _, part := range []struct {
		name string
		into *string
	}{{names.Session, &s.ID}, {names.User, &s.User}, {names.Device, &s.Device}, {client, &s.Client}} {
		var err error
		if *part.into, err = c.id(part.name); err != nil {
			return revocation.Session{}, err
		}
	}
	if names.Tenant != "" {
		tenant, err := c.text(names.Tenant)
		if err != nil {
			return revocation.Session{}, err
		}
		// It never falls back to the default tenant: nobody's revocations would be asked for.
		if events.TenantFault(tenant) != "" {
			return revocation.Session{}, bad("claim %q isn't the name of a tenant", names.Tenant)
		}
		s.Tenant = tenant
	}
	var err error
	s.AuthTime, err = c.authTime(useIssuedAt)
	return s, err
}

// authTime returns when the user proved who they are: auth_time_ms, then auth_time, then iat where the operator has said that tokens
// aren't re-signed; zero if none is there. A claim that is there and wrong is an error: it doesn't give way to the next.
func (c claimSet) authTime(useIssuedAt bool) (time.Time, error) {
	if name := "auth_time_ms"; c.has(name) {
		const most = 1e17
		ms, err := strconv.ParseUint(string(bytes.TrimSpace(c[name])), 10, 64)
		if err != nil || ms >= most {
			return time.Time{}, bad("claim %q isn't a whole number of milliseconds", name)
		}
		return time.UnixMilli(int64(ms)).UTC(), nil
	}
	if name := "auth_time"; c.has(name) || !useIssuedAt {
		return c.time(name)
	}
	return c.time("iat")
}
