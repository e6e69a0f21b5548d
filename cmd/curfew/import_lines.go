package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unique"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"

	"github.com/curfewhq/curfew/events"
)

// eventName names an event: an id is of its tenant alone.
type eventName struct {
	tenant unique.Handle[string]
	id     uuid.UUID
}

func (n eventName) String() string { return n.tenant.Value() + "/" + n.id.String() }

// parseName reads what String writes.
func parseName(text string) (eventName, bool) {
	tenant, id, _ := strings.Cut(text, "/")
	return nameFrom(tenant, id)
}

func nameFrom(tenant, id string) (eventName, bool) {
	n := eventName{tenant: unique.Make(tenant)}
	var err error
	n.id, err = uuid.Parse(id)
	return n, err == nil && n.id.String() == id && events.TenantFault(tenant) == ""
}

// nameOf names the event in a line.
func nameOf(line []byte) (eventName, bool) {
	var r struct {
		Event struct {
			ID   string `json:"id"`
			Data struct {
				Tenant string `json:"tenant"`
			} `json:"data"`
		} `json:"event"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return eventName{}, false
	}
	return nameFrom(r.Event.Data.Tenant, r.Event.ID)
}

// nameLines are names in the form in which the server is asked for them. It is made as it is read.
type nameLines struct {
	names []eventName
	rest  []byte
}

func (l *nameLines) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(l.rest) == 0 {
			if len(l.names) == 0 {
				break
			}
			l.rest = append(append(append(l.rest, '"'), l.names[0].String()...), '"', '\n')
			l.names = l.names[1:]
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

// names returns the names of the events in the next lines. Lines that name none are left out.
func (l *exportLines) names(lines uint64) ([]eventName, error) {
	all := make([]eventName, 0, lines)
	for range lines {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		if name, ok := nameOf(line); ok {
			all = append(all, name)
		}
	}
	return all, nil
}
