package target

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errNetwork is returned for an address that webhooks may not lie at.
var errNetwork = errors.New("its address isn't a public one, and not in replay.webhook_networks (--replay-webhook-networks)")

// notPublic are networks beside those that netip knows: shared (RFC 6598), protocol assignments (6890), documentation (5737, 3849, 9637), benchmarks (2544, 5180), reserved (1112), IPv4 in IPv6 (2765, 6052,
// 8215, 3056, 4380, 7526), segment routing (9602), and discard (6666). What looks public and leads back inside is the trap here (CWE-918).
func notPublic() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:2::/48", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// allowed reports whether a webhook may lie at an address.
func allowed(networks []netip.Prefix, at netip.Addr) bool {
	at = at.Unmap().WithZone("")
	within := func(p netip.Prefix) bool { return p.Contains(at) }
	if slices.ContainsFunc(networks, within) {
		return true
	}
	return at.IsGlobalUnicast() && !at.IsPrivate() && !at.IsLoopback() && !at.IsLinkLocalUnicast() && !slices.ContainsFunc(notPublic(), within)
}

// urlFault looks at what can be told without asking anybody where a name leads: that is looked at when it is dialled, each time, for names change.
func (s *Set) urlFault(text string) string {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return "is required"
	case err != nil || u.Host == "" || u.Opaque != "" || len(text) > 2048 || u.Fragment != "":
		return "must be such as https://receiver.example.com/curfew"
	case u.User != nil:
		return "must not hold a user or a password: the receiver knows us by the signature"
	case u.Scheme != "https" && (u.Scheme != "http" || !toThisMachine(u.Hostname())):
		return "must be https, or http to this machine (127.0.0.1, ::1 or localhost)"
	}
	if at, err := netip.ParseAddr(u.Hostname()); err == nil && !allowed(s.cfg.WebhookNetworks, at) {
		return errNetwork.Error()
	}
	return ""
}

func toThisMachine(host string) bool {
	at, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && at.IsLoopback()
}

// newClient returns a client that reaches allowed addresses only, whatever names lead to, knows no proxy and follows nobody elsewhere.
func newClient(networks []netip.Prefix) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !allowed(networks, at.Addr()) {
			return errNetwork
		}
		return nil
	}}
	return &http.Client{
		Timeout: 15 * time.Second,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: atOnce, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: 32 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
