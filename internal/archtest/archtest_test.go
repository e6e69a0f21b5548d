package archtest_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"

	"github.com/curfewhq/curfew/internal/archtest"
)

// TestModuleKeepsItsArchitecture holds every Go file of this module against the rules.
func TestModuleKeepsItsArchitecture(t *testing.T) {
	t.Parallel()
	files, err := archtest.Read(moduleRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go file found: the test looks in the wrong place and would never fail")
	}
	for _, v := range archtest.Check(files) {
		t.Error(v)
	}
}

// TestLibraryLinksNothingHeavy follows the imports of revocation/ to the end,
// through other people's modules too.
func TestLibraryLinksNothingHeavy(t *testing.T) {
	t.Parallel()
	root := moduleRoot(t)
	roots, err := packages.Load(&packages.Config{
		Context: t.Context(),
		Dir:     root,
		Mode:    packages.NeedName | packages.NeedImports | packages.NeedDeps,
	}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	graph := map[string][]string{}
	packages.Visit(roots, nil, func(p *packages.Package) {
		for _, imported := range p.Imports {
			graph[p.PkgPath] = append(graph[p.PkgPath], imported.PkgPath)
		}
		slices.Sort(graph[p.PkgPath])
	})
	library := archtest.Module + "/revocation"
	if _, err := os.Stat(filepath.Join(root, "revocation", "doc.go")); err == nil && graph[library] == nil {
		t.Fatalf("%s is missing from the graph of imports: the test looks in the wrong place and would never fail", library)
	}
	for _, v := range archtest.CheckLinks(graph) {
		t.Error(v)
	}
}

// moduleRoot is the folder of this module's go.mod.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module "+archtest.Module+"\n") {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatalf("no go.mod of %s above the working directory", archtest.Module)
		}
		dir = up
	}
}

// TestCheckImports proves that the import table can fail, and what it says then.
func TestCheckImports(t *testing.T) {
	t.Parallel()
	const module = archtest.Module + "/"
	tests := []struct {
		name    string
		file    string
		pkg     string // the folder's name if ""
		imports string
		want    string // part of the violation; "" if the import is allowed
	}{
		{name: "std for events", file: "events/event.go", imports: "encoding/json"},
		{name: "uuid for events", file: "events/event.go", imports: "github.com/google/uuid"},
		{name: "events for its own subpackage", file: "events/event.go", imports: module + "events/internal/schema"},
		{name: "another module for events", file: "events/event.go", imports: "github.com/nats-io/nats.go", want: "events is the vocabulary"},
		{name: "upwards from events", file: "events/event.go", imports: module + "revocation", want: "events is the vocabulary"},
		{name: "another module for a test of events", file: "events/event_test.go", imports: "github.com/google/go-cmp/cmp"},

		{name: "events for the library", file: "revocation/replica.go", imports: module + "events"},
		{name: "a part of its own for the library", file: "revocation/replica.go", imports: module + "revocation/internal/table"},
		{name: "the library for a part of its own", file: "revocation/internal/table/table.go", imports: module + "revocation", want: "knows nothing of events"},
		{name: "events for a part of the library", file: "revocation/internal/table/table.go", imports: module + "events", want: "knows nothing of events"},
		{name: "a part of the library for the feed", file: "revocation/revocationnats/feed.go", imports: module + "revocation/internal/table", want: "revocationnats is the feed"},
		{name: "the feed for the library", file: "revocation/replica.go", imports: module + "revocation/revocationnats", want: "embedders link revocation"},
		{name: "the feed for a test of the library", file: "revocation/replica_test.go", imports: module + "revocation/revocationnats"},
		{name: "the fake feed for an example of the library", file: "revocation/example_test.go", imports: module + "revocation/revocationtest"},
		{name: "plumbing for the library", file: "revocation/replica.go", imports: module + "internal/bus", want: "embedders link revocation"},
		{name: "plumbing for a test of the library", file: "revocation/replica_test.go", imports: module + "internal/bus", want: "embedders link revocation"},
		{name: "an in-process server for a test of the library", file: "revocation/replica_test.go", imports: module + "internal/natstest"},
		{name: "logrus for the library", file: "revocation/replica.go", imports: "github.com/sirupsen/logrus", want: "embedders link revocation"},
		{name: "logrus for a test of the library", file: "revocation/replica_test.go", imports: "github.com/sirupsen/logrus", want: "embedders link revocation"},
		{name: "watermill for a test of the library", file: "revocation/replica_test.go", imports: "github.com/ThreeDotsLabs/watermill/message", want: "embedders link revocation"},
		{name: "nats.go for the library", file: "revocation/replica.go", imports: "github.com/nats-io/nats.go/jetstream", want: "embedders link revocation"},

		{name: "grpc for the interceptors", file: "revocation/revocationgrpc/guard.go", imports: "google.golang.org/grpc/status"},
		{name: "details of a status for the interceptors", file: "revocation/revocationgrpc/answer.go", imports: "google.golang.org/genproto/googleapis/rpc/errdetails"},
		{name: "another part of genproto for the interceptors", file: "revocation/revocationgrpc/answer.go", imports: "google.golang.org/genproto/googleapis/api", want: "gRPC's interceptors"},
		{name: "the middleware for the interceptors", file: "revocation/revocationgrpc/guard.go", imports: module + "revocation/revocationhttp", want: "gRPC's interceptors"},
		{name: "grpc for the library", file: "revocation/replica.go", imports: "google.golang.org/grpc", want: "embedders link revocation"},
		{name: "grpc for the middleware", file: "revocation/revocationhttp/verify.go", imports: "google.golang.org/grpc", want: "revocationhttp is net/http"},
		{name: "Prometheus for its adapter", file: "revocation/revocationprom/metrics.go", imports: "github.com/prometheus/client_golang/prometheus"},
		{name: "another part of Prometheus for its adapter", file: "revocation/revocationprom/metrics.go", imports: "github.com/prometheus/common/expfmt", want: "a replica's metrics"},
		{name: "the feed for the adapter", file: "revocation/revocationprom/metrics.go", imports: module + "revocation/revocationnats", want: "a replica's metrics"},
		{name: "Prometheus for the library", file: "revocation/replica.go", imports: "github.com/prometheus/client_golang/prometheus", want: "embedders link revocation"},
		{name: "go-jose for the middleware", file: "revocation/revocationhttp/verify.go", imports: "github.com/go-jose/go-jose/v4/jwt"},
		{name: "nats.go for the middleware", file: "revocation/revocationhttp/verify.go", imports: "github.com/nats-io/nats.go", want: "revocationhttp is net/http"},
		{name: "go-jose for the feed", file: "revocation/revocationnats/feed.go", imports: "github.com/go-jose/go-jose/v4", want: "the feed over nats.go and nothing else"},
		{name: "nats.go for the feed", file: "revocation/revocationnats/feed.go", imports: "github.com/nats-io/nats.go/jetstream"},
		{name: "the server for the feed", file: "revocation/revocationnats/feed.go", imports: "github.com/nats-io/nats-server/v2/server", want: "the feed over nats.go and nothing else"},
		{name: "a matcher for the fake feed", file: "revocation/revocationtest/suite.go", imports: "github.com/google/go-cmp/cmp", want: "embedders' tests"},

		{name: "plumbing for a service", file: "services/gate/gate.go", imports: module + "internal/bus"},
		{name: "the middleware for a service", file: "services/gate/gate.go", imports: module + "revocation/revocationhttp"},
		{name: "a service for itself", file: "services/gate/gate.go", imports: module + "services/gate/forward"},
		{name: "a service for a part of itself", file: "services/gate/forward/forward.go", imports: module + "services/gate"},
		{name: "a service for another", file: "services/gate/gate.go", imports: module + "services/fanout", want: "services never import each other"},
		{name: "a service for another's test", file: "services/gate/gate_test.go", imports: module + "services/publisher", want: "services never import each other"},
		{name: "a service for part of another", file: "services/gate/gate.go", imports: module + "services/fanout/hub", want: "services never import each other"},
		{name: "a command for a service", file: "services/gate/gate.go", imports: module + "cmd/curfew/server", want: "a service imports events, revocation and internal"},
		{name: "redis for a service", file: "services/sessions/store.go", imports: "github.com/go-redis/redis/v8", want: "only internal/redisstore"},
		{name: "redis for a service's test", file: "services/sessions/store_test.go", imports: "github.com/redis/go-redis/v9", want: "only internal/redisstore"},
		{name: "redis for its package", file: "internal/redisstore/store.go", imports: "github.com/go-redis/redis/v8"},
		{name: "the test server for a service's test", file: "services/gate/gate_test.go", imports: module + "internal/natstest"},
		{name: "the test server for a service", file: "services/gate/gate.go", imports: module + "internal/natstest", want: "is for tests"},

		{name: "a service for plumbing", file: "internal/bus/bus.go", imports: module + "services/gate", want: "internal is plumbing"},
		{name: "the library for plumbing", file: "internal/bus/bus.go", imports: module + "revocation", want: "internal is plumbing"},
		{name: "a command for plumbing", file: "internal/bus/bus.go", imports: module + "cmd/curfew/server", want: "internal is plumbing"},
		{name: "plumbing for plumbing", file: "internal/bus/bus.go", imports: module + "internal/telemetry"},
		{name: "the test server for a helper of tests", file: "internal/bustest/suite.go", imports: module + "internal/natstest"},

		{name: "a service for a command", file: "cmd/curfew/server/server.go", imports: module + "services/gate"},
		{name: "a command for a command", file: "cmd/curfew/main.go", pkg: "main", imports: module + "cmd/curfew/server"},
		{name: "a black-box test for a command", file: "cmd/curfew/main.go", pkg: "main", imports: module + "test/bench", want: "commands import everything but"},
		{name: "a service for a black-box test", file: "test/integration/logout_test.go", imports: module + "services/gate"},
		{name: "the test server for a black-box program", file: "test/bench/bench.go", imports: module + "internal/natstest"},

		{name: "Go among the clients", file: "clients/browser/gen.go", pkg: "main", imports: "fmt", want: "holds TypeScript and no Go"},
		{name: "Go in an unknown folder", file: "tools/gen/main.go", pkg: "main", imports: "fmt", want: "no row of the import table"},
		{name: "Go at the root", file: "curfew.go", pkg: "curfew", imports: "fmt", want: "no row of the import table"},
		{name: "Go beside the services", file: "services/all.go", imports: "fmt", want: "no row of the import table"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Dir(tt.file)
			if tt.pkg == "" {
				tt.pkg = filepath.Base(folder)
			}
			file := archtest.File{Path: tt.file, Package: tt.pkg, Imports: []archtest.Mention{{Name: tt.imports, Line: 7}}}
			wantReport(t, archtest.Check(append(documented(folder, tt.pkg), file)), tt.want)
		})
	}
}

// TestViolationNamesFileImportAndRemedy pins the form of one report.
func TestViolationNamesFileImportAndRemedy(t *testing.T) {
	t.Parallel()
	files := append(documented("services/gate", "gate"), archtest.File{
		Path: "services/gate/gate.go", Package: "gate",
		Imports: []archtest.Mention{{Name: archtest.Module + "/services/fanout", Line: 12}},
	})
	got := fmt.Sprint(archtest.Check(files))
	want := `[services/gate/gate.go:12: imports "github.com/curfewhq/curfew/services/fanout": ` +
		`services never import each other; what both need lives in internal/ or travels as an event]`
	if got != want {
		t.Errorf("report:\n got %s\nwant %s", got, want)
	}
}

// TestCheckForm writes small packages to a folder, reads them back and proves
// that each rule of form can fail.
func TestCheckForm(t *testing.T) {
	t.Parallel()
	const documented = "// Package gate answers checks.\npackage gate\n"
	tests := []struct {
		name  string
		files map[string]string // path → content
		want  string            // part of a violation; "" if there is none
	}{
		{name: "nothing to complain of", files: map[string]string{"services/gate/doc.go": documented}},
		{name: "no comment", files: map[string]string{"services/gate/gate.go": "package gate\n"}, want: "no package comment"},
		{name: "comment elsewhere", files: map[string]string{"services/gate/gate.go": documented}, want: "services/gate/doc.go: package gate has no package comment"},
		{name: "comment of another name", files: map[string]string{"services/gate/doc.go": "// Package door answers checks.\npackage gate\n"}, want: `beginning with "Package gate "`},
		{name: "command without a comment", files: map[string]string{"cmd/curfew/main.go": "package main\n"}, want: "cmd/curfew/main.go: package main has no package comment"},
		{name: "command with one", files: map[string]string{"cmd/curfew/main.go": "// Curfew ends sessions.\npackage main\n"}},
		{
			name: "tests alone need a comment too", files: map[string]string{"test/integration/logout_test.go": "package integration_test\n"},
			want: "package integration has no package comment",
		},
		{
			name: "generator beside a package", files: map[string]string{
				"events/doc.go": "// Package events names what happens.\npackage events\n",
				"events/gen.go": "//go:build ignore\n\npackage main\n",
			},
		},
		{
			name: "vague name", files: map[string]string{"internal/helpers/doc.go": "// Package helpers helps.\npackage helpers\n"},
			want: `the name "helpers" says nothing`,
		},
		{
			name: "vague folder", files: map[string]string{"internal/pkg/doc.go": "// Package clock tells the time.\npackage clock\n"},
			want: `the name "pkg" says nothing`,
		},
		{name: "long file", files: map[string]string{"services/gate/doc.go": documented + strings.Repeat("\n", archtest.MaxLines)}, want: "lines are too many"},
		{name: "longest file", files: map[string]string{"services/gate/doc.go": documented + strings.Repeat("\n", archtest.MaxLines-2)}},
		{
			name: "long generated file", files: map[string]string{
				"services/gate/doc.go":   documented,
				"services/gate/table.go": "// Code generated by a test. DO NOT EDIT.\n\npackage gate\n" + strings.Repeat("\n", archtest.MaxLines),
			},
		},
		{name: "init", files: map[string]string{"services/gate/doc.go": documented + "\nfunc init() {}\n"}, want: "services/gate/doc.go:4: nothing runs in init"},
		{
			name:  "init of a test",
			files: map[string]string{"services/gate/doc.go": documented, "services/gate/gate_test.go": "package gate\n\nfunc init() {}\n"},
		},
		{name: "method called init", files: map[string]string{"services/gate/doc.go": documented + "\ntype T int\n\nfunc (T) init() {}\n"}},
		{
			name:  "package-level logger",
			files: map[string]string{"services/gate/doc.go": documented + "\nimport \"github.com/sirupsen/logrus\"\n\nfunc f() { logrus.Infof(\"\") }\n"},
			want:  "doc.go:6: logrus.Infof uses the process-wide logger",
		},
		{
			name:  "package-level logger under another name, as a value",
			files: map[string]string{"services/gate/doc.go": documented + "\nimport log \"github.com/sirupsen/logrus\"\n\nvar with = log.WithField\n"},
			want:  "log.WithField uses the process-wide logger",
		},
		{
			name:  "package-level logger of a dot import",
			files: map[string]string{"services/gate/doc.go": documented + "\nimport . \"github.com/sirupsen/logrus\"\n\nfunc f() { Info() }\n"},
			want:  "uses the process-wide logger",
		},
		{
			name:  "injected logger",
			files: map[string]string{"services/gate/doc.go": documented + "\nimport \"github.com/sirupsen/logrus\"\n\nfunc f(l logrus.FieldLogger) { l.Info() }\n\nvar l = logrus.New()\n"},
		},
		{
			name:  "folders of other tools are left alone",
			files: map[string]string{"clients/node_modules/x/x.go": "package x\n", "services/gate/testdata/x.go": "not Go", "other/go.mod": "module other\n", "other/x.go": "package x\n", "services/gate/doc.go": documented},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for name, content := range tt.files {
				full := filepath.Join(root, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			files, err := archtest.Read(root)
			if err != nil {
				t.Fatal(err)
			}
			wantReport(t, archtest.Check(files), tt.want)
		})
	}
}

func TestReadRefusesBrokenSource(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "broken.go"), []byte("package"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := archtest.Read(root); err == nil || !strings.Contains(err.Error(), "parse broken.go") {
		t.Errorf("Read of a broken file: got error %v, want one that names the file", err)
	}
}

// TestCheckLinks proves that the check of what the library links can fail.
func TestCheckLinks(t *testing.T) {
	t.Parallel()
	const module = archtest.Module + "/"
	light := map[string][]string{
		module + "events":                    {"encoding/json", "github.com/google/uuid"},
		module + "revocation":                {module + "events", "time"},
		module + "revocation/revocationhttp": {module + "revocation", "github.com/go-jose/go-jose/v4"},
		module + "revocation/revocationnats": {module + "revocation", "github.com/nats-io/nats.go"},
		module + "revocation/revocationgrpc": {module + "revocation", "google.golang.org/grpc/status"},
		module + "revocation/revocationprom": {module + "revocation", "github.com/prometheus/client_golang/prometheus"},
		"github.com/nats-io/nats.go":         {"github.com/nats-io/nkeys"},
		module + "services/gate":             {module + "revocation", "github.com/sirupsen/logrus"},
	}
	tests := []struct {
		name string
		add  map[string][]string
		want string
	}{
		{name: "light"},
		{
			name: "logrus two modules down", add: map[string][]string{"github.com/nats-io/nkeys": {"github.com/sirupsen/logrus"}},
			want: "an embedder would inherit it through github.com/curfewhq/curfew/revocation/revocationnats → github.com/nats-io/nats.go → github.com/nats-io/nkeys → github.com/sirupsen/logrus",
		},
		{
			name: "nats.go under the middleware", add: map[string][]string{"github.com/go-jose/go-jose/v4": {"github.com/nats-io/nats.go/jetstream"}},
			want: `revocation/revocationhttp: imports "github.com/nats-io/nats.go/jetstream"`,
		},
		{
			name: "grpc under the feed", add: map[string][]string{"github.com/nats-io/nkeys": {"google.golang.org/grpc/codes"}},
			want: `revocation/revocationnats: imports "google.golang.org/grpc/codes"`,
		},
		{
			name: "nats.go under the interceptors", add: map[string][]string{"google.golang.org/grpc/status": {"github.com/nats-io/nats.go"}},
			want: `revocation/revocationgrpc: imports "github.com/nats-io/nats.go"`,
		},
		{
			name: "Prometheus under the feed", add: map[string][]string{"github.com/nats-io/nkeys": {"github.com/prometheus/client_golang/prometheus"}},
			want: `revocation/revocationnats: imports "github.com/prometheus/client_golang/prometheus"`,
		},
		{
			name: "watermill in a ring", add: map[string][]string{
				"github.com/nats-io/nkeys": {"github.com/nats-io/nats.go", "example.org/ring"},
				"example.org/ring":         {"github.com/nats-io/nkeys", "github.com/ThreeDotsLabs/watermill/message"},
			},
			want: "github.com/ThreeDotsLabs/watermill/message",
		},
		{
			name: "the server under the feed", add: map[string][]string{"github.com/nats-io/nkeys": {"github.com/nats-io/nats-server/v2/server"}},
			want: "github.com/nats-io/nats-server/v2/server",
		},
		{
			name: "redis under the feed", add: map[string][]string{"github.com/nats-io/nkeys": {"github.com/go-redis/redis/v8"}},
			want: "github.com/go-redis/redis/v8",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			graph := maps.Clone(light)
			maps.Copy(graph, tt.add)
			wantReport(t, archtest.CheckLinks(graph), tt.want)
		})
	}
}

// documented is the doc.go that a fake package needs, so that only the rule under test can fail.
func documented(folder, pkg string) []archtest.File {
	name, doc := "doc.go", "Package "+pkg+" is a fake."
	if pkg == "main" {
		name, doc = "main.go", "A fake."
	}
	return []archtest.File{{Path: filepath.ToSlash(filepath.Join(folder, name)), Package: pkg, Doc: doc}}
}

// wantReport fails unless there is a violation that contains want, or none if
// want is "". One match is enough: a package in a forbidden folder is reported
// for each of its files.
func wantReport(t *testing.T, got []archtest.Violation, want string) {
	t.Helper()
	if want == "" {
		for _, v := range got {
			t.Errorf("unexpected: %s", v)
		}
		return
	}
	if !slices.ContainsFunc(got, func(v archtest.Violation) bool { return strings.Contains(v.String(), want) }) {
		t.Errorf("violations: got %q, want one that contains %q", got, want)
	}
}
