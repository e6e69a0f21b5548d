// Package blackbox tests the built binary from outside, as an operator uses it: processes, curl, signals, files.
package blackbox
