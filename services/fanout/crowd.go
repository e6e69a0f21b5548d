package fanout

import (
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/revocation"
)

// maxLoginWindow is over how long tabs are spread at most: who waits for longer believes that the page is broken.
const maxLoginWindow = 5 * time.Minute

// Crowd tells how many tabs an event would end here, if it came now. It costs a pointer for each that the event names, and is done before it returns.
func (s *Service) Crowd(e events.Event) gateways.Crowd {
	var c gateways.Crowd
	users := map[string]struct{}{}
	for _, entry := range s.hub.Affected(e) {
		if !revocation.Ends(e, entry.Session) || s.cfg.Replica.Check(entry.Session).State == revocation.Revoked {
			continue
		}
		c.Tabs++
		users[entry.Session.User] = struct{}{}
	}
	c.Users = len(users)
	c.LoginWindowMS = s.loginWindow(c.Tabs).Milliseconds()
	return c
}

// loginWindow is over how long tabs that one event ends are spread on their way to the sign-in page; 0 where they are few enough to go at once.
func (s *Service) loginWindow(tabs int) time.Duration {
	if s.cfg.LoginRate < 0 {
		return 0
	}
	window := min(time.Duration(tabs)*time.Second/time.Duration(s.cfg.LoginRate), maxLoginWindow)
	if window < time.Second {
		return 0
	}
	return window
}
