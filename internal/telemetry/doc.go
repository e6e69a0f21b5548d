// Package telemetry is the one home of log fields, metric names and the way in which ids may be logged.
//
// It promises that an id reaches a log only as a keyed hash ([Hasher]), and that no metric has a label whose values are unbounded.
package telemetry
