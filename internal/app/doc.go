// Package app is the lifecycle of a process: what was started is stopped in the opposite order, each part by name and within a bound, and HTTP
// listeners start and end cleanly.
//
//	var parts app.Stack
//	parts.Push("bus", func(context.Context) error { return bus.Close() })
//	parts.Go("beat", beat.Run)
//	...
//	err := parts.Stop(ctx) // beat, then bus
//
// It promises that Stop returns however a part behaves: when its context has ended and each part that hangs has had its [Grace], at the
// latest. It says which part didn't end. It doesn't restart anything, and doesn't tell before Stop that a part has ended by itself.
package app
