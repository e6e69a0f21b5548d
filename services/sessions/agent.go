package sessions

import (
	"net/netip"
	"strings"
	"unicode"

	"github.com/mileusna/useragent"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

const (
	// maxAgentBytes is how much of a User-Agent is read.
	maxAgentBytes = 1024
	// maxNameBytes is how long the name of a browser or system may be; what is read out of a User-Agent is its sender's.
	maxNameBytes = 40
)

// agentOf reads a User-Agent header.
func agentOf(header string) sessionstore.Agent {
	ua := useragent.Parse(header[:min(len(header), maxAgentBytes)])
	agent := sessionstore.Agent{Browser: plain(ua.Name), OS: plain(ua.OS)}
	switch {
	case ua.Bot:
		agent.Form = "bot"
	case ua.Tablet:
		agent.Form = "tablet"
	case ua.Mobile:
		agent.Form = "mobile"
	case ua.Desktop:
		agent.Form = "desktop"
	}
	return agent
}

// plain is a name that can be shown anywhere: short, and of letters, digits and a few signs.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" .-_/", r) {
			return r
		}
		return -1
	}, name)
	name = strings.TrimSpace(name)
	if len(name) > maxNameBytes {
		name = strings.ToValidUTF8(name[:maxNameBytes], "")
	}
	return name
}

// nameOf is what people read.
func nameOf(a sessionstore.Agent) string {
	switch {
	case a.Browser != "" && a.OS != "":
		return a.Browser + " on " + a.OS
	case a.Browser != "":
		return a.Browser
	case a.OS != "":
		return a.OS
	}
	return "Unknown device"
}

// networkOf returns the network of an address, with as many bits as are kept; empty for none.
func networkOf(addr netip.Addr, bits4, bits6 int) string {
	addr = addr.Unmap().WithZone("")
	bits := bits6
	if addr.Is4() {
		bits = bits4
	}
	if bits < 0 || !addr.IsValid() {
		return ""
	}
	network, err := addr.Prefix(min(bits, addr.BitLen()))
	if err != nil {
		return ""
	}
	return network.String()
}
