//go:build !linux

package main

import (
	"errors"
	"io"
)

var errLinux = errors.New("runs on Linux only")

func load(io.Writer) error { return errLinux }

func spent() (usage, error) { return usage{}, errLinux }

func held() (usage, error) { return usage{}, errLinux }

func slab() (int64, error) { return 0, errLinux }

func raiseFiles() error { return errLinux }

func mostFiles() (int, error) { return 0, errLinux }
