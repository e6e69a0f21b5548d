package presence_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events/presence"
)

func report() presence.Report {
	return presence.Report{
		ID: "PQ7XN2VAKDPAEPLSHFTV4DCGZQ", Name: "billing-7", Group: "billing", Version: "1.4.2", Stream: "CURFEW@1767225600000000000", Position: 4711, Fresh: true, StalenessMS: 12, BudgetMS: 15_000,
	}
}

// The forms are a promise to processes of other versions.
func TestGolden(t *testing.T) {
	leaving := report()
	leaving.Leaving, leaving.Fresh, leaving.StalenessMS = true, false, -1
	for name, encode := range map[string]func() ([]byte, error){
		"report.json":  func() ([]byte, error) { return presence.EncodeReport(report()) },
		"leaving.json": func() ([]byte, error) { return presence.EncodeReport(leaving) },
		"applied.txt": func() ([]byte, error) {
			return presence.EncodeApplied(presence.Applied{ID: report().ID, Stream: report().Stream, Position: 4711})
		},
		"await.json": func() ([]byte, error) {
			return presence.EncodeAwait(presence.Await{Stream: "CURFEW@1767225600000000000", Position: 4711})
		},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := encode(); err != nil || string(got) != strings.TrimSpace(string(want)) {
				t.Errorf("got %s, %v\nwant %s", got, err, want)
			}
		})
	}
	text, err := os.ReadFile("testdata/applied.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := presence.DecodeApplied([]byte(strings.TrimSpace(string(text)))); err != nil || got != (presence.Applied{ID: report().ID, Stream: report().Stream, Position: 4711}) {
		t.Errorf("got %+v, %v", got, err)
	}
	data, err := os.ReadFile("testdata/leaving.json")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := presence.DecodeReport(data); err != nil || got != leaving {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestLeaseIsTheBudgetAndAnInterval(t *testing.T) {
	if got := report().Lease(); got != 16*time.Second {
		t.Errorf("got %v, want 16s", got)
	}
}

func TestWhatIsNotInForm(t *testing.T) {
	for name, change := range map[string]func(*presence.Report){
		"no id": func(r *presence.Report) { r.ID = "" }, "an id with a dot": func(r *presence.Report) { r.ID = "PQ7XN2VA.KDPA" }, "no name": func(r *presence.Report) { r.Name = "" },
		"a name of two lines": func(r *presence.Report) { r.Name = "a\nb" }, "a name that colours terminals": func(r *presence.Report) { r.Name = "\x1b[31m" },
		"no group": func(r *presence.Report) { r.Group = "" }, "a long group": func(r *presence.Report) { r.Group = strings.Repeat("g", 129) },
		"a version that isn't UTF-8": func(r *presence.Report) { r.Version = "\xff" }, "a long stream": func(r *presence.Report) { r.Stream = strings.Repeat("s", 129) },
		"no budget": func(r *presence.Report) { r.BudgetMS = 0 }, "a budget for ever": func(r *presence.Report) { r.BudgetMS = 1 << 62 },
	} {
		t.Run(name, func(t *testing.T) {
			r := report()
			change(&r)
			if data, err := presence.EncodeReport(r); !errors.Is(err, presence.ErrMalformed) {
				t.Errorf("encoded as %s: %v", data, err)
			}
		})
	}
	for _, data := range []string{"", "{}", `{"v":2,"id":"PQ7XN2VAKDPA","name":"n","group":"g","budget_ms":1}`, `{"v":1,"id":"PQ7XN2VAKDPA","name":"n","group":"g","budget_ms":-1}`, strings.Repeat(" ", presence.MaxBytes+1)} {
		if r, err := presence.DecodeReport([]byte(data)); !errors.Is(err, presence.ErrMalformed) {
			t.Errorf("%.40q: %+v, %v", data, r, err)
		}
	}
	for _, data := range []string{"", "1", "1 PQ7XN2VAKDPA", "1 PQ7XN2VAKDPA 1", "1 PQ7XN2VAKDPA 1 ", "1 PQ7XN2VAKDPA 0 s", "1 PQ7XN2VAKDPA -1 s", "2 PQ7XN2VAKDPA 1 s", "1 short 1 s", "1 PQ7XN2VAKDPA 99999999999999999999 s"} {
		if a, err := presence.DecodeApplied([]byte(data)); !errors.Is(err, presence.ErrMalformed) {
			t.Errorf("%q: %+v, %v", data, a, err)
		}
	}
	for _, data := range []string{"", "{}", `{"v":1,"stream":"s"}`, `{"v":1,"position":1}`, `{"v":2,"stream":"s","position":1}`} {
		if a, err := presence.DecodeAwait([]byte(data)); !errors.Is(err, presence.ErrMalformed) {
			t.Errorf("%q: %+v, %v", data, a, err)
		}
	}
}
