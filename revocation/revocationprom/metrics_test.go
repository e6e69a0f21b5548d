package revocationprom_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationprom"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a replica and its metrics.
type rig struct {
	t       *testing.T
	feed    *revocationtest.Feed
	reg     *prometheus.Registry
	metrics *revocationprom.Metrics
	replica *revocation.Replica
}

func newRig(t *testing.T, cfg revocation.Config) *rig {
	t.Helper()
	r := &rig{t: t, feed: revocationtest.New(), reg: prometheus.NewRegistry()}
	r.metrics = revocationprom.New(r.reg)
	r.open(cfg)
	return r
}

func (r *rig) open(cfg revocation.Config) {
	r.t.Helper()
	r.feed.AutoBeat(10 * time.Millisecond)
	cfg.Feed, cfg.Hooks = r.feed, r.metrics.Hooks(cfg.Hooks)
	var err error
	if r.replica, err = revocation.Open(r.t.Context(), cfg); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.replica.Close() })
	r.metrics.Observe(r.replica)
}

// value returns what is shown under a name, with labels as in `state="active"`; for a histogram, the count.
func (r *rig) value(name string, labels ...string) float64 {
	r.t.Helper()
	v, ok := find(r.t, r.reg, name, labels...)
	if !ok {
		r.t.Fatalf("%s%q isn't shown", name, labels)
	}
	return v
}

func find(t *testing.T, reg prometheus.Gatherer, name string, labels ...string) (float64, bool) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var has []string
			for _, l := range m.GetLabel() {
				has = append(has, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if f.GetName() != name || !slices.Equal(has, labels) {
				continue
			}
			switch f.GetType().String() {
			case "COUNTER":
				return m.GetCounter().GetValue(), true
			case "HISTOGRAM":
				return float64(m.GetHistogram().GetSampleCount()), true
			default:
				return m.GetGauge().GetValue(), true
			}
		}
	}
	return 0, false
}

func common() events.Common {
	return events.Common{
		ID: "01890a5d-ac96-774b-bcce-000000000001", Time: time.Now(), Source: "test", Tenant: events.DefaultTenant, Reason: events.ReasonAdmin,
		Initiator: events.Initiator{Type: events.InitiatorSystem},
	}
}

func logout(session string) events.Event {
	return &events.SessionRevoked{Common: common(), Session: session, User: "ada"}
}

func (r *rig) wait(position uint64) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	if err := r.replica.WaitFor(ctx, position); err != nil {
		r.t.Fatal(err)
	}
}

// A process that waits in Open shows that it knows nothing.
func TestMetricsBeforeTheReplicaIsOpen(t *testing.T) {
	reg := prometheus.NewRegistry()
	revocationprom.New(reg)
	for name, want := range map[string]float64{
		"curfew_replica_fresh": 0, "curfew_replica_synced": 0, "curfew_replica_staleness_seconds": math.Inf(1), "curfew_replica_position": 0,
		"curfew_replica_feed_lost_total": 0,
	} {
		if got, ok := find(t, reg, name); !ok || got != want {
			t.Errorf("%s is %v, shown: %t, want %v", name, got, ok, want)
		}
	}
}

func TestMetricsOfAReplica(t *testing.T) {
	r := newRig(t, revocation.Config{})
	r.feed.Publish(logout("s1"))
	r.feed.Publish(&events.UserLoggedOutEverywhere{Common: common(), User: "eve", Cutoff: time.Now()})
	r.feed.PublishRaw("curfew.v1.default.00.session", []byte("nonsense"))
	r.wait(r.feed.Publish(logout("s2")))
	// The waiters are woken before the watchers of the last event are called: another one makes sure.
	r.wait(r.feed.Publish(logout("s2")))
	live := revocation.Session{ID: "s3", User: "ada", AuthTime: time.Now()}
	for range 3 {
		r.replica.Check(live)
	}
	r.replica.Check(revocation.Session{ID: "s1", User: "ada", AuthTime: time.Now()})
	r.replica.Check(revocation.Session{})
	r.replica.Check(revocation.Session{})

	status := r.replica.Status()
	for _, w := range []struct {
		name   string
		labels []string
		least  float64
	}{
		{"curfew_replica_fresh", nil, 1}, {"curfew_replica_synced", nil, 1}, {"curfew_replica_retention_short", nil, 0},
		{"curfew_replica_sessions", nil, 2}, {"curfew_replica_cutoffs", nil, 1}, {"curfew_replica_head", nil, float64(status.Head)},
		{"curfew_replica_checks_total", []string{`state="active"`}, 3}, {"curfew_replica_checks_total", []string{`state="revoked"`}, 1},
		{"curfew_replica_checks_total", []string{`state="undetermined"`}, 2},
		{"curfew_replica_applied_total", []string{`type="UserLoggedOutEverywhere"`}, 1}, {"curfew_replica_applied_total", []string{`type="TenantLoggedOut"`}, 0},
		{"curfew_replica_skipped_total", []string{`cause="malformed"`}, 1}, {"curfew_replica_skipped_total", []string{`cause="unknown_type"`}, 0},
		{"curfew_replica_syncs_total", nil, 1}, {"curfew_replica_feed_lost_total", nil, 0}, {"curfew_replica_exceptions_dropped_total", nil, 0}, {"curfew_replica_expired_total", nil, 0},
	} {
		if got := r.value(w.name, w.labels...); got != w.least {
			t.Errorf("%s%q is %v, want %v", w.name, w.labels, got, w.least)
		}
	}
	if got := r.value("curfew_replica_position"); got < float64(status.Position) {
		t.Errorf("position %v, want at least %d", got, status.Position)
	}
	if got := r.value("curfew_replica_staleness_seconds"); got < 0 || got > 15 {
		t.Errorf("staleness %v s", got)
	}
	if got := r.value("curfew_replica_applied_total", `type="SessionRevoked"`); got < 2 || got > 3 {
		t.Errorf("%v sessions applied, want those that were waited for", got)
	}
	if applied, n := r.value("curfew_replica_applied_total", `type="SessionRevoked"`)+1, r.value("curfew_replica_applied_latency_seconds"); n != applied && n != applied-1 {
		t.Errorf("the latency of %v events, want that of all %v", n, applied)
	}
}

func TestMetricsOfALostFeed(t *testing.T) {
	lost := make(chan struct{}, 10)
	r := newRig(t, revocation.Config{Hooks: revocation.Hooks{FeedLost: func(error, time.Duration) { lost <- struct{}{} }}})
	for range 2 {
		r.feed.Break(errors.New("the link is gone"))
		<-lost
		r.wait(r.feed.Publish(logout("s1"))) // it is followed again
	}
	if got := r.value("curfew_replica_feed_lost_total"); got != 2 {
		t.Errorf("lost %v times, want 2", got)
	}
}

// Each reason for which a feed leaves a message out has its label, and any other is malformed.
func TestCauses(t *testing.T) {
	reg := prometheus.NewRegistry()
	hooks := revocationprom.New(reg).Hooks(revocation.Hooks{})
	for cause, err := range map[string]error{
		"unknown_type": &events.UnsupportedError{Type: "x", Cause: events.ErrUnknownType}, "unknown_version": fmt.Errorf("x: %w", events.ErrUnknownVersion),
		"foreign_topic": events.ErrForeignTopic, "cutoff_in_future": fmt.Errorf("x: %w", revocation.ErrCutoffInFuture), "invalid": &events.InvalidError{},
		"malformed": events.ErrMalformed,
	} {
		hooks.Skipped(1, err)
		if got, _ := find(t, reg, "curfew_replica_skipped_total", `cause="`+cause+`"`); got != 1 {
			t.Errorf("%v: %s is %v, want 1", err, cause, got)
		}
	}
	hooks.Skipped(1, errors.New("something new"))
	if got, _ := find(t, reg, "curfew_replica_skipped_total", `cause="malformed"`); got != 2 {
		t.Errorf("malformed is %v, want 2", got)
	}
}

func TestMetricsOfSnapshots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.snapshot")
	r := newRig(t, revocation.Config{Snapshots: []revocation.Snapshots{revocation.SnapshotFile(path)}})
	r.wait(r.feed.Publish(logout("s1")))
	if _, ok := find(t, r.reg, "curfew_snapshot_saved_timestamp_seconds", `place="file"`); ok {
		t.Error("something was saved")
	}
	info, err := r.replica.Save(t.Context(), revocation.SnapshotFile(path))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"curfew_snapshot_saved_position": float64(info.Position), "curfew_snapshot_saved_bytes": float64(info.Bytes), "curfew_snapshot_saved_entries": 1,
	} {
		if got := r.value(name, `place="file"`); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got := r.value("curfew_snapshot_saved_timestamp_seconds", `place="file"`); math.Abs(got-float64(time.Now().Unix())) > 60 {
		t.Errorf("saved at %v", got)
	}
	if got := r.value("curfew_snapshot_save_duration_seconds", `place="file"`); got <= 0 || got > 60 {
		t.Errorf("saved within %v s", got)
	}
	if _, err := r.replica.Save(t.Context(), revocation.SnapshotFile(filepath.Join(path, "no", "folder"))); err == nil {
		t.Error("saved into a file that isn't a folder")
	}
	fault := errors.New("fault")
	for _, name := range []string{"nats:CURFEW_SNAPSHOTS/CURFEW", "s3:bucket", "", "natsy:x", "file"} {
		if _, err := r.replica.Save(t.Context(), broken{name, fault}); !errors.Is(err, fault) {
			t.Errorf("Save = %v", err)
		}
	}
	_ = r.replica.Close()
	r.open(revocation.Config{SnapshotFile: path})
	_ = r.replica.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	r.open(revocation.Config{SnapshotFile: path})
	for labels, want := range map[[3]string]float64{
		{"saves", "file", "saved"}: 1, {"saves", "file", "failed"}: 2, {"saves", "nats", "failed"}: 1, {"saves", "other", "failed"}: 3,
		{"saves", "nats", "saved"}: 0, {"loads", "file", "loaded"}: 1, {"loads", "file", "refused"}: 1, {"loads", "nats", "loaded"}: 0,
	} {
		if got := r.value("curfew_snapshot_"+labels[0]+"_total", `place="`+labels[1]+`"`, `result="`+labels[2]+`"`); got != want {
			t.Errorf("%q is %v, want %v", labels, got, want)
		}
	}
	if got := r.value("curfew_replica_syncs_total"); got != 3 {
		t.Errorf("synced %v times, want 3", got)
	}
}

// broken is a place that takes nothing.
type broken struct {
	name string
	err  error
}

func (b broken) Open(context.Context) (io.ReadCloser, error)       { return nil, b.err }
func (b broken) Save(context.Context, func(io.Writer) error) error { return b.err }
func (b broken) String() string                                    { return b.name }

// Every hook of the caller's is called, with what the replica told, and every one of ours may be called without any.
func TestHooksCallTheCallersOwn(t *testing.T) {
	m := revocationprom.New(nil)
	none := reflect.ValueOf(m.Hooks(revocation.Hooks{}))
	called := map[string][]any{}
	var also revocation.Hooks
	v := reflect.ValueOf(&also).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func(args []reflect.Value) []reflect.Value {
			for _, a := range args {
				called[name] = append(called[name], a.Interface())
			}
			return nil
		}))
	}
	all := reflect.ValueOf(m.Hooks(also))
	for i := range all.NumField() {
		name := all.Type().Field(i).Name
		args := []reflect.Value{}
		for j := range all.Field(i).Type().NumIn() {
			args = append(args, example(t, all.Field(i).Type().In(j)))
		}
		all.Field(i).Call(args)
		if got := len(called[name]); got != len(args) {
			t.Errorf("%s was called with %d arguments, want %d", name, got, len(args))
			continue
		}
		for j, a := range args {
			if got := called[name][j]; !reflect.DeepEqual(got, a.Interface()) {
				t.Errorf("argument %d of %s is %v, want %v", j, name, got, a)
			}
		}
		if f := none.Field(i); !f.IsNil() {
			f.Call(args)
		}
	}
}

// example returns a value of a type that hooks take.
func example(t *testing.T, typ reflect.Type) reflect.Value {
	t.Helper()
	for _, v := range []any{errors.New("fault"), "file:x", uint64(7), 8, 9 * time.Second, revocation.SnapshotInfo{Stream: "S", Position: 1, Entries: 2, Bytes: 3}} {
		if reflect.TypeOf(v).AssignableTo(typ) && (typ.Kind() == reflect.Interface || reflect.TypeOf(v) == typ) {
			return reflect.ValueOf(v).Convert(typ)
		}
	}
	t.Fatalf("this test knows no value of %v", typ)
	return reflect.Value{}
}

// Two replicas in a process are told apart by a label; without it they can't be registered.
func TestTwoReplicas(t *testing.T) {
	reg := prometheus.NewRegistry()
	for _, ledger := range []string{"eu", "us"} {
		revocationprom.New(prometheus.WrapRegistererWith(prometheus.Labels{"ledger": ledger}, reg))
	}
	if _, ok := find(t, reg, "curfew_replica_checks_total", `ledger="us"`, `state="active"`); !ok {
		t.Error("the second isn't shown")
	}
	defer func() {
		if recover() == nil {
			t.Error("two that can't be told apart were registered")
		}
	}()
	revocationprom.New(prometheus.WrapRegistererWith(prometheus.Labels{"ledger": "us"}, reg))
}

func TestMetricsPassTheLinter(t *testing.T) {
	r := newRig(t, revocation.Config{})
	r.wait(r.feed.Publish(logout("s1")))
	if _, err := r.replica.Save(t.Context(), revocation.SnapshotFile(filepath.Join(t.TempDir(), "s"))); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(r.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// documented is a line of the tables in doc.go.
var documented = regexp.MustCompile(`(?m)^//\t(curfew_\w+)\s+(gauge|counter|histogram)\b(.*)$`)

// The documentation names every metric, with its type and labels, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	r := newRig(t, revocation.Config{})
	r.wait(r.feed.Publish(logout("s1")))
	if _, err := r.replica.Save(t.Context(), revocation.SnapshotFile(filepath.Join(t.TempDir(), "s"))); err != nil {
		t.Fatal(err)
	}
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string][]string{}
	for _, m := range documented.FindAllStringSubmatch(string(doc), -1) {
		lines[m[1]] = m[2:]
	}
	for _, f := range families {
		line, ok := lines[f.GetName()]
		if !ok {
			t.Errorf("%s isn't documented", f.GetName())
			continue
		}
		delete(lines, f.GetName())
		if want := strings.ToLower(f.GetType().String()); line[0] != want {
			t.Errorf("%s is documented as a %s, and is a %s", f.GetName(), line[0], want)
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if rest := strings.TrimSpace(line[1]); !strings.HasPrefix(rest, strings.Join(labels, ", ")) {
			t.Errorf("%s has the labels %q, and is documented with %q", f.GetName(), labels, rest)
		}
	}
	for name := range lines {
		t.Errorf("%s is documented and isn't there", name)
	}
}
