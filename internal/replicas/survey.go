package replicas

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Survey is what replicas have answered, and who was silent.
type Survey struct {
	// Replicas have answered in time.
	Replicas []Answer `json:"replicas"`
	// Silent have reported in the last hour and haven't answered.
	Silent []SilentReplica `json:"silent"`
}

// SilentReplica is what a replica's last report told.
type SilentReplica struct {
	Name     string    `json:"name"`
	Group    string    `json:"group,omitempty"`
	Version  string    `json:"version,omitempty"`
	Position uint64    `json:"position"`
	Heard    time.Time `json:"heard_at"`
	// LeaseEnded is whether it fails closed, and FailsClosedSince from when on it does so if nothing more is heard.
	LeaseEnded       bool      `json:"lease_ended"`
	FailsClosedSince time.Time `json:"fails_closed_since"`
}

// SurveyOf takes the answers over, and names those of members that aren't among them. The ids of processes, which are for telling them apart, aren't told.
func SurveyOf(answers []Answer, members []Member) Survey {
	answered := map[string]bool{}
	for i := range answers {
		answered[ProcessOf(answers[i])] = true
		answers[i].ID = ""
	}
	s := Survey{Replicas: answers, Silent: []SilentReplica{}}
	for _, m := range Silent(members, answered) {
		s.Silent = append(s.Silent, SilentReplica{
			Name: m.Name, Group: m.Group, Version: m.Version, Position: m.Position, Heard: m.Heard.UTC(), LeaseEnded: m.Ended, FailsClosedSince: m.FailsClosedSince().UTC(),
		})
	}
	return s
}

// Nameless numbers processes in the order of their names, which tell of machines and of what else the deployment runs: those are for operators.
func (s Survey) Nameless() {
	slices.SortFunc(s.Replicas, func(a, b Answer) int { return strings.Compare(a.Name, b.Name) })
	for i := range s.Replicas {
		a := &s.Replicas[i]
		a.Name, a.Group, a.Version = strconv.Itoa(i+1), "", ""
	}
	for i := range s.Silent {
		one := &s.Silent[i]
		one.Name, one.Group, one.Version = strconv.Itoa(len(s.Replicas)+i+1), "", ""
	}
}
