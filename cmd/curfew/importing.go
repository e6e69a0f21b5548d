package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/internal/exportfile"
	"github.com/curfewhq/curfew/services/replay"
)

const (
	progressEvery = 5 * time.Second
	// importTries is how often a call is made that the server says may succeed later, with pauses that grow by importPause.
	importTries, importPause = 5, time.Second
	// batchBytes is how much of a file one call carries; the server takes replay.MaxImportBytes.
	batchBytes = replay.MaxImportBytes - maxExportLine - 1
	// storedAtOnce is for how many lines the ledger is looked through at once, if they are stored then: what was found holds for some minutes.
	storedAtOnce = 200_000
)

// importing is an import under way.
type importing struct {
	client       *apiclient.Client
	execute, all bool
	progress     io.Writer
	quiet        bool
	// next is when to say how far it is.
	next   time.Time
	report importReport

	// checked is what the server said when it looked for the ids of these lines; empty once that holds no more.
	checked string
	// batch are lines to send, and numbers which of the file they are.
	batch   bytes.Buffer
	numbers []uint64
}

// run goes through the file twice, side by side: ahead for the ids of some lines, which the ledger is looked through for, and behind for those lines.
func (im *importing) run(ctx context.Context, m exportfile.Manifest) error {
	ahead, err := openLines(im.report.File)
	if err != nil {
		return err
	}
	defer ahead.close()
	behind, err := openLines(im.report.File)
	if err != nil {
		return err
	}
	defer behind.close()
	most := uint64(replay.MaxKnownIDs)
	if im.execute {
		most = storedAtOnce
	}
	for behind.tally.so.Events < m.Events {
		names, err := ahead.names(min(most, m.Events-behind.tally.so.Events))
		if err != nil {
			return err
		}
		var known map[eventName]struct{}
		if err := patiently(ctx, func() (err error) { known, err = im.look(ctx, names); return err }); err != nil {
			return err
		}
		for behind.tally.so.Events < ahead.tally.so.Events {
			line, err := behind.next()
			if err != nil {
				return err
			}
			if err := im.take(ctx, line, behind.tally.so.Events, known); err != nil {
				return err
			}
		}
		if err := im.flush(ctx); err != nil {
			return err
		}
	}
	if hex.EncodeToString(behind.tally.sum.Sum(nil)) != m.SHA256 {
		return errors.New("the file was changed while it was read: verify it with 'curfew export verify', and import it again")
	}
	return nil
}

// look returns which of the events the ledger has.
func (im *importing) look(ctx context.Context, names []eventName) (map[eventName]struct{}, error) {
	known := map[eventName]struct{}{}
	im.checked = ""
	err := im.client.PostLines(ctx, "/v1/import/known", &nameLines{names: names}, func(line []byte) error {
		var told struct{ ID, Checked string }
		if err := json.Unmarshal(line, &told); err != nil {
			return fmt.Errorf("read the server's answer: %w", err)
		}
		if im.checked = told.Checked; told.Checked != "" {
			return nil
		}
		name, ok := parseName(told.ID)
		if !ok {
			return errors.New("the server names no event that it was asked for: is it a Curfew of this version?")
		}
		known[name] = struct{}{}
		return nil
	})
	if err == nil && im.checked == "" {
		err = fmt.Errorf("%w: the answer broke off", apiclient.ErrUnreachable)
	}
	return known, err
}

// take puts a line into the batch, unless the ledger has its event, and sends what is full.
func (im *importing) take(ctx context.Context, line []byte, number uint64, known map[eventName]struct{}) error {
	if name, ok := nameOf(line); ok {
		if _, there := known[name]; there {
			im.report.Known++
			return nil
		}
	}
	im.batch.Write(line)
	im.batch.WriteByte('\n')
	im.numbers = append(im.numbers, number)
	if len(im.numbers) == replay.MaxImportLines || im.batch.Len() > batchBytes {
		return im.flush(ctx)
	}
	return nil
}

// flush sends the batch. Once too long has passed since the ledger was looked through, the server does that for each batch.
func (im *importing) flush(ctx context.Context) error {
	if len(im.numbers) == 0 {
		return nil
	}
	var out replay.Imported
	err := patiently(ctx, func() (err error) { out, err = im.send(ctx); return err })
	var refused *apiclient.Error
	if errors.As(err, &refused) && refused.Code == "look_expired" {
		im.checked = ""
		err = patiently(ctx, func() (err error) { out, err = im.send(ctx); return err })
	}
	if err != nil {
		return err
	}
	r := &im.report
	r.New, r.Known, r.Expired, r.Refused = r.New+uint64(out.New), r.Known+uint64(out.Known), r.Expired+uint64(out.Expired), r.Refused+uint64(len(out.Refused))
	r.Position = max(r.Position, out.Position)
	for _, line := range out.Refused {
		im.refused(line)
	}
	im.batch.Reset()
	im.numbers = im.numbers[:0]
	if now := time.Now(); !im.quiet && now.After(im.next) {
		im.next = now.Add(progressEvery)
		fmt.Fprintf(im.progress, "%d of %d events\n", r.New+r.Known+r.Expired+r.Refused, r.Events)
	}
	return nil
}

// patiently asks again what the server says may be asked again, a few times: an import repeats nothing.
func patiently(ctx context.Context, ask func() error) error {
	for try := range importTries {
		err := ask()
		var refused *apiclient.Error
		if !errors.As(err, &refused) || !refused.Retry || try == importTries-1 {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(try+1) * importPause):
		}
	}
	return nil
}

func (im *importing) send(ctx context.Context) (out replay.Imported, err error) {
	query := url.Values{"execute": {strconv.FormatBool(im.execute)}, "all": {strconv.FormatBool(im.all)}, "name": {im.report.Import[len("import-"):]}}
	if im.checked != "" {
		query.Set("checked", im.checked)
	}
	err = im.client.PostLines(ctx, "/v1/import?"+query.Encode(), bytes.NewReader(im.batch.Bytes()), func(line []byte) error { return json.Unmarshal(line, &out) })
	if err == nil && out.New+out.Known+out.Expired+len(out.Refused) != len(im.numbers) {
		err = errors.New("the server tells of other lines than it was sent: is it a Curfew of this version?")
	}
	return out, err
}

// refused tells of a line that can't be imported, by its number in the file.
func (im *importing) refused(line replay.RefusedLine) {
	if line.Line < 1 || line.Line > len(im.numbers) {
		return
	}
	number := im.numbers[line.Line-1]
	if !im.quiet {
		fmt.Fprintf(im.progress, "line %d refused: %s\n", number, line.Detail)
	} else if len(im.report.Lines) < maxListedLines {
		im.report.Lines = append(im.report.Lines, replay.RefusedLine{Line: int(number), Detail: line.Detail})
	}
}

// broken says how far an import has come that ended early.
func (im *importing) broken(err error) error {
	if !im.execute || errors.Is(err, os.ErrNotExist) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	return hinted{fmt.Errorf("%w\n%d events are stored so far", err, im.report.New), fmt.Sprintf("run 'curfew import %s --execute' again: it goes on with what isn't there yet", im.report.File)}
}
