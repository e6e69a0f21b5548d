// Package app is the lifecycle of a process: what was started is stopped in the opposite order, each part by name and within a bound, and HTTP
// listeners start and end cleanly.
//
// It promises that Stop returns within its context's time, however a part behaves, and says which part didn't end.
package app
