package config

import "errors"

// Approval says which revocations a second person approves.
type Approval struct {
	// ThresholdSessions is above how many sessions a revocation of a client waits for a second person; one of a tenant always does then. Zero means that nobody has to approve.
	ThresholdSessions int `koanf:"threshold_sessions"`
}

func (a Approval) faults() []error {
	if a.ThresholdSessions < 0 {
		return []error{errors.New("approval.threshold_sessions: can't be negative; 0 means that nobody has to approve a revocation")}
	}
	return nil
}
