package replay

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/internal/replicas"
)

// Unknown is something that an exposure can't tell.
type Unknown struct {
	// Code is one of the following, for machines.
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// What an exposure can't tell.
const (
	UnknownClocks     = "clocks"
	UnknownElsewhere  = "elsewhere"
	UnknownUnderWay   = "under_way"
	UnknownSilent     = "silent"
	UnknownRegister   = "register"
	UnknownNotRecord  = "not_recorded"
	UnknownBegan      = "began_after"
	UnknownForgotten  = "forgotten"
	UnknownNotApplied = "not_applied"
	UnknownSessions   = "sessions"
	UnknownListed     = "not_listed"
)

// silent fills in who is known to be there and hasn't answered. It returns whether that could be told.
func (s *Service) silent(ctx context.Context, patience time.Duration, answered map[string]bool, out *Exposure) bool {
	if s.cfg.Present == nil {
		return false
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	members, err := s.cfg.Present(waiting)
	if err != nil {
		return false
	}
	for _, m := range replicas.Silent(members, answered) {
		out.Silent = append(out.Silent, m.Name)
	}
	slices.Sort(out.Silent)
	out.SilentCount = len(out.Silent)
	return true
}

// unknown says what an answer can't tell.
func unknown(out Exposure, registered, unsure bool) []Unknown {
	list := []Unknown{}
	add := func(code, format string, args ...any) {
		list = append(list, Unknown{code, fmt.Sprintf(format, args...)})
	}
	count := func(of func(ExposedProcess) bool) (n int) {
		for _, p := range out.Processes {
			if of(p) {
				n++
			}
		}
		return n
	}
	if unsure {
		add(UnknownSessions, "The event ends whatever session it reaches: asked were those %d that it names or the registry knows of its user. Others can be asked about one by one, with session.", len(out.Sessions))
	}
	if out.SilentCount > 0 {
		add(UnknownSilent, "%d processes whose replicas report haven't answered: what they let through isn't known. Ask again, with a longer timeout; services that don't answer such questions never do.", out.SilentCount)
	}
	if !registered {
		add(UnknownRegister, "Which replicas report can't be told here, so who is silent isn't named: 'curfew doctor' tells which have answered.")
	}
	if n := count(func(p ExposedProcess) bool { return !p.Records }); n > 0 {
		add(UnknownNotRecord, "%d processes don't remember what passes: set passes above 0.", n)
	}
	if n := count(func(p ExposedProcess) bool { return p.Records && p.RecordsSince.After(out.Since) }); n > 0 {
		add(UnknownBegan, "%d processes have begun since the decision: what ran in their place before isn't known, nor what it let through.", n)
	}
	if n := count(func(p ExposedProcess) bool {
		return p.Records && p.WholeSince.After(out.Since) && p.WholeSince.After(p.RecordsSince)
	}); n > 0 {
		add(UnknownForgotten, "%d processes have forgotten requests since the decision, for newer ones: what they tell may lack some. Set passes higher.", n)
	}
	if n := count(func(p ExposedProcess) bool { return !p.Applied }); n > 0 {
		add(UnknownNotApplied, "%d processes haven't applied the event yet, and may let more through.", n)
	}
	if n := count(func(p ExposedProcess) bool { return p.Count > len(p.Passes) }); n > 0 {
		add(UnknownListed, "%d processes let more through than are listed: count says how many.", n)
	}
	add(UnknownUnderWay, "Requests that had passed before the decision and were still served aren't among these: they are ended when the event is applied.")
	add(UnknownClocks, "The decision is dated by the publisher's clock and each pass by its process's, to the millisecond: a request near an end of the span may belong on its other side by what those differ. "+
		"clock_ahead_ms is how far each process's was from this server's just now; what it was then nobody has noted.")
	add(UnknownElsewhere, "Services with a replica of their own, and followers in other languages, are told of here only if they answer; so is a service that asks a gate: that its request passed, the gate doesn't know.")
	return list
}

func compareProcesses(a, b ExposedProcess) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Group, b.Group))
}

// nameless numbers processes in the order of their names, which tell of machines: those are for operators.
func (x *Exposure) nameless() {
	slices.SortFunc(x.Processes, compareProcesses)
	for i := range x.Processes {
		x.Processes[i].Name, x.Processes[i].Group = strconv.Itoa(i+1), ""
	}
	x.Silent = nil
}
