package gateways

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
)

const (
	// maxChanges is how many changes are told at once.
	maxChanges = 256
	// untold is after how long changes that couldn't be told are told again.
	untold = time.Second
)

// Change says that a user has come to a gateway, or has gone from it.
type Change struct {
	// Gateway is the id of the one that says so.
	Gateway string `json:"-"`
	Tenant  string `json:"tenant"`
	User    string `json:"user"`
	Online  bool   `json:"online"`
	// Since is when the first tab came, or the last one went, by the gateway's clock.
	Since time.Time `json:"since"`
}

// account is a user of a tenant.
type account struct{ tenant, user string }

// presence counts the tabs of users, and knows what is to be told. Its methods are safe for concurrent use.
//
// A user stands in the list of changes while what followers were told isn't what is; whoever changes goes to its end. All wait equally long, so the list is
// ordered by when they are due, and one timer serves for all. Who is back in time leaves the list, and nothing is left of who came for less.
type presence struct {
	delay time.Duration
	// wake has a token when the list isn't empty any more.
	wake chan struct{}

	mu sync.Mutex
	// users holds who has tabs, who is to be told, and who was told to be there; account → user.
	users map[account]*user
	// first and last are the ends of the list.
	first, last *user
}

// user is guarded by the presence's mu.
type user struct {
	account account
	tabs    int
	// told is whether followers take the user to be there, as far as we have told them, and telling is whether they are being told so now.
	told, telling bool
	// since is of the last change between none and some.
	since        time.Time
	before, next *user
	listed       bool
}

func (u *user) online() bool { return u.tabs > 0 }

func newPresence(delay time.Duration) *presence {
	return &presence{delay: delay, wake: make(chan struct{}, 1), users: map[account]*user{}}
}

func (p *presence) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.users)
}

func (p *presence) up(a account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[a]
	if u == nil {
		u = &user{account: a}
		p.users[a] = u
	}
	if u.tabs++; u.tabs == 1 {
		p.changedLocked(u)
	}
}

func (p *presence) down(a account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[a]
	if u == nil || u.tabs == 0 {
		return
	}
	if u.tabs--; u.tabs == 0 {
		p.changedLocked(u)
	}
}

// changedLocked puts a user to the end of the list, or takes it off where followers know it as it is.
func (p *presence) changedLocked(u *user) {
	u.since = time.Now()
	p.unlistLocked(u)
	if u.online() == u.told {
		p.forgetLocked(u)
		return
	}
	u.before, u.listed = p.last, true
	if p.last != nil {
		p.last.next = u
	} else {
		p.first = u
		select {
		case p.wake <- struct{}{}:
		default: // it will look anyway
		}
	}
	p.last = u
}

func (p *presence) unlistLocked(u *user) {
	if !u.listed {
		return
	}
	if u.before != nil {
		u.before.next = u.next
	} else {
		p.first = u.next
	}
	if u.next != nil {
		u.next.before = u.before
	} else {
		p.last = u.before
	}
	u.before, u.next, u.listed = nil, nil, false
}

// forgetLocked drops a user of whom there is nothing to know. One that has gone, and whom followers take to be there, is listed or being told. While it is being
// told it stays: if that fails, it is to be told after all.
func (p *presence) forgetLocked(u *user) {
	if !u.online() && !u.listed && !u.telling {
		delete(p.users, u.account)
	}
}

// due takes off the list whoever is to be told now, up to maxChanges. Until settled is called they count as told. wait is how long there is nothing to do
// otherwise, and negative where the list is empty.
func (p *presence) due(now time.Time) (due []*user, told []Change, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for u := p.first; u != nil && len(due) < maxChanges; u = p.first {
		if wait = u.since.Add(p.delay).Sub(now); wait > 0 {
			break
		}
		p.unlistLocked(u)
		u.told, u.telling = u.online(), true
		due = append(due, u)
		told = append(told, Change{Tenant: u.account.tenant, User: u.account.user, Online: u.told, Since: u.since.UTC()})
	}
	if p.first == nil {
		wait = -1
	}
	return due, told, wait
}

// settled says whether those that were due have been told. If not, they are to be told first, unless they aren't different from before any more:
//
//  1. A user comes, is due, and is being told.
//  2. The user goes: that is to be told, as we are telling the contrary.
//  3. The telling fails. Followers have heard of neither, and there is nothing to tell.
func (p *presence) settled(due []*user, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range due {
		u := due[len(due)-1-i]
		u.telling = false
		if !ok {
			u.told = !u.told
			p.unlistLocked(u)
			if u.online() != u.told {
				p.listFirstLocked(u)
			}
		}
		p.forgetLocked(u)
	}
}

func (p *presence) listFirstLocked(u *user) {
	u.next, u.listed = p.first, true
	if p.first != nil {
		p.first.before = u
	} else {
		p.last = u
	}
	p.first = u
}

// run tells whoever is due until ctx ends, and nothing after that.
func (p *presence) run(ctx context.Context, tell func([]Change) error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		due, told, wait := p.due(time.Now())
		if len(due) > 0 {
			err := tell(told)
			p.settled(due, err == nil)
			if err == nil {
				continue
			}
			wait = untold/2 + rand.N(untold/2)
		}
		var timeout <-chan time.Time
		if wait >= 0 {
			timer.Reset(wait)
			timeout = timer.C
		}
		select {
		case <-ctx.Done():
		case <-timeout:
		case <-p.wake:
		}
	}
}

// tellChanges publishes changes. After an error some may have been told; they are told again.
func (g *Gateway) tellChanges(list []Change) error {
	_, unfit, err := batches(g.id, "changes", list, limitOf(g.nc), func(data []byte) error { return g.nc.Publish(bus.LivePresenceTopic, data) })
	if err != nil {
		return err
	}
	g.counts.changes.Add(uint64(len(list) - unfit))
	g.counts.bad.Add(uint64(unfit))
	return nil
}
