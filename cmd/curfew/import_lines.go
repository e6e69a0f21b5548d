package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
)

// idOf returns the id of the event in a line.
func idOf(line []byte) (uuid.UUID, bool) {
	var r struct {
		Event struct {
			ID string `json:"id"`
		} `json:"event"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return uuid.UUID{}, false
	}
	id, err := uuid.Parse(r.Event.ID)
	return id, err == nil && id.String() == r.Event.ID
}

// idLines are ids in the form in which the server is asked for them. It is made as it is read.
type idLines struct {
	ids  []uuid.UUID
	rest []byte
}

func (l *idLines) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(l.rest) == 0 {
			if len(l.ids) == 0 {
				break
			}
			l.rest = append(append(append(l.rest, '"'), l.ids[0].String()...), '"', '\n')
			l.ids = l.ids[1:]
		}
		copied := copy(p[n:], l.rest)
		n, l.rest = n+copied, l.rest[copied:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// exportLines reads the records of an export that was verified, one by one.
type exportLines struct {
	file  *os.File
	lines *bufio.Scanner
	tally *tally
}

func openLines(path string) (*exportLines, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := &exportLines{file: f, lines: bufio.NewScanner(zip), tally: newTally()}
	l.lines.Buffer(nil, maxExportLine)
	return l, nil
}

func (l *exportLines) close() { _ = l.file.Close() } // it was only read

// next returns the next line, which is good until next is called again.
func (l *exportLines) next() ([]byte, error) {
	if !l.lines.Scan() {
		return nil, fmt.Errorf("the file was changed while it was read: %w", errors.Join(l.lines.Err(), io.ErrUnexpectedEOF))
	}
	line := l.lines.Bytes()
	l.tally.sum.Write(line)
	l.tally.sum.Write([]byte{'\n'})
	return line, l.tally.take(line)
}

// ids returns the ids of the next lines. Those of lines that have none are left out.
func (l *exportLines) ids(lines uint64) ([]uuid.UUID, error) {
	all := make([]uuid.UUID, 0, lines)
	for range lines {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		if id, ok := idOf(line); ok {
			all = append(all, id)
		}
	}
	return all, nil
}
