package archtest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Module is this module's path.
const Module = "github.com/curfewhq/curfew"

// MaxLines is the length that no file exceeds. Generated files are exempt.
const MaxLines = 800

// Other modules that a rule names.
const (
	logrus     = "github.com/sirupsen/logrus"
	watermill  = "github.com/ThreeDotsLabs/watermill"
	natsGo     = "github.com/nats-io/nats.go"
	natsServer = "github.com/nats-io/nats-server"
	goJose     = "github.com/go-jose/go-jose"
	prometheus = "github.com/prometheus/client_golang"
	uuid       = "github.com/google/uuid"
	grpcGo     = "google.golang.org/grpc"
	grpcTypes  = "google.golang.org/genproto/googleapis/rpc"
	protobuf   = "google.golang.org/protobuf"
	// cpuFeatures tells which instructions a processor has.
	cpuFeatures = "golang.org/x/sys/cpu"
)

// redisClients are the modules that speak to Redis: the one in use and the one after it.
var redisClients = []string{"github.com/go-redis/redis", "github.com/redis/go-redis"}

// A row of the import table says what one folder may import. Patterns of
// folders are those of [match]; the standard library is always allowed.
type row struct {
	folder  string
	ours    []string // folders of this module, own, or everything
	theirs  []string // other modules with their subpackages, or everything
	instead string   // what to do instead
}

const (
	// everything lets in all folders or all modules.
	everything = "*"
	// own stands for the folder that the row is about and those below it; in
	// a row for "services/*/..." that is one service.
	own = "own"
)

// table is the import table. The first row whose folder matches decides.
var table = []row{
	{
		folder:  "events/...",
		ours:    []string{own},
		theirs:  []string{uuid},
		instead: "events is the vocabulary that everybody shares and needs the standard library and google/uuid only; move the code to the package that uses it",
	},
	{
		folder:  "revocation/revocationgrpc/...",
		ours:    []string{own, "events/...", "revocation"},
		theirs:  []string{grpcGo, grpcTypes, protobuf},
		instead: "revocationgrpc is gRPC's interceptors over a revocation.Replica and nothing else; hand it what it needs through an interface or a func of its Config",
	},
	{
		folder:  "revocation/revocationhttp/...",
		ours:    []string{own, "events/...", "revocation"},
		theirs:  []string{goJose},
		instead: "revocationhttp is net/http over a revocation.Replica (and go-jose for tokens); hand it what it needs through an interface or a func of its Config",
	},
	{
		folder:  "revocation/revocationnats/...",
		ours:    []string{own, "events/...", "revocation"},
		theirs:  []string{natsGo},
		instead: "revocationnats is the feed over nats.go and nothing else; server-side plumbing belongs to internal/bus",
	},
	{
		folder:  "revocation/revocationprom/...",
		ours:    []string{own, "events/...", "revocation"},
		theirs:  []string{prometheus},
		instead: "revocationprom is a replica's metrics over Prometheus's client and nothing else; what else an embedder wants to know goes through its own hooks",
	},
	{
		folder:  "revocation/revocationtest/...",
		ours:    []string{own, "events/...", "revocation"},
		instead: "revocationtest ends up in embedders' tests and depends on events and revocation only",
	},
	{
		folder:  "revocation/internal/...",
		ours:    []string{"revocation/internal/..."},
		theirs:  []string{cpuFeatures},
		instead: "revocation/internal is what the set is made of and knows nothing of events; pass it words and functions",
	},
	{
		folder:  "revocation/...",
		ours:    []string{"events/...", "revocation", "revocation/internal/..."},
		instead: "embedders link revocation into every service, so it needs events and the standard library only; report through a hook, or put an adapter beside it (revocationhttp, revocationnats)",
	},
	{
		folder:  "services/*/...",
		ours:    []string{own, "events/...", "revocation/...", "internal/..."},
		theirs:  []string{everything},
		instead: "a service imports events, revocation and internal; what two services need lives in internal/ or travels as an event, and cmd/curfew/server wires them together",
	},
	{
		folder:  "cmd/...",
		ours:    []string{own, "services/...", "revocation/...", "events/...", "internal/..."},
		theirs:  []string{everything},
		instead: "commands import everything but the black-box tests of test/",
	},
	{
		folder:  "internal/...",
		ours:    []string{own, "events/..."},
		theirs:  []string{everything},
		instead: "internal is plumbing under the services and the library; define an interface here and let cmd/curfew/server pass the implementation in",
	},
	{
		folder: "test/...",
		ours:   []string{everything},
		theirs: []string{everything},
	},
}

// testsMayImport is what test files may import of this module beyond their folder's row.
var testsMayImport = []string{"internal/access/accesstest", "internal/app/apptest", "internal/clocktest", "internal/logtext", "internal/natstest", "internal/redistest", "internal/tlstest", "revocation/revocationtest", "revocation/revocationnats"}

// testingOnly is what no shipped code may import: it would link package testing into the binary.
var testingOnly = []string{"internal/access/accesstest", "internal/app/apptest", "internal/clocktest", "internal/logtext", "internal/natstest", "internal/redistest", "internal/sessionstore/sessionstoretest", "internal/tlstest", "revocation/revocationtest"}

// vagueNames are names that say nothing of what a package provides.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "base", "type", "types", "model", "models", "pkg"}

// A Violation is one broken rule.
type Violation struct {
	File   string // the file, or the package where a whole package is meant
	Line   int    // 0 where the whole file or package is meant
	Import string // the import, or "" for rules that aren't about imports
	Rule   string // the rule and what to do instead, one sentence
}

// String says everything in one line that a compiler's output would be read in.
func (v Violation) String() string {
	var b strings.Builder
	b.WriteString(v.File)
	if v.Line > 0 {
		fmt.Fprintf(&b, ":%d", v.Line)
	}
	b.WriteString(": ")
	if v.Import != "" {
		fmt.Fprintf(&b, "imports %q: ", v.Import)
	}
	b.WriteString(v.Rule)
	return b.String()
}

// Check returns every rule that the files break, in their order. Test files
// answer to a looser rule: beyond their folder's row they may import what
// testsMayImport names, and any other module but a Redis client, logrus and Watermill.
func Check(files []File) []Violation {
	var found []Violation
	for _, file := range files {
		found = append(found, checkImports(file)...)
		found = append(found, checkForm(file)...)
	}
	return append(found, checkPackages(files)...)
}

// checkImports holds one file against the import table.
func checkImports(file File) []Violation {
	folder := file.Folder()
	if match("clients/...", folder) {
		return []Violation{{File: file.Path, Rule: "clients/ holds TypeScript and no Go; a Go program goes to cmd/, a generator to events/ or internal/"}}
	}
	rule, known := rowOf(folder)
	if !known {
		return []Violation{{File: file.Path, Rule: "no row of the import table covers this folder; put the package into one of the folders of the table, or add a row with a decision record that says why"}}
	}
	var found []Violation
	for _, imp := range file.Imports {
		if why := forbidden(rule, file, imp.Name); why != "" {
			found = append(found, Violation{File: file.Path, Line: imp.Line, Import: imp.Name, Rule: why})
		}
	}
	return found
}

// forbidden says why file may not import target, or "" if it may.
func forbidden(rule row, file File, target string) string {
	folder := file.Folder()
	if ours, ok := inModule(target); ok {
		return forbiddenOurs(rule, file, ours)
	}
	if standard(target) {
		return ""
	}
	if under(target, redisClients...) && folder != "internal/redisstore" && !match("test/...", folder) {
		return "only internal/redisstore speaks to Redis, so that the next major version of the client is a change of one package; use its Store"
	}
	if slices.Contains(rule.theirs, everything) {
		return ""
	}
	if under(target, rule.theirs...) {
		return ""
	}
	if file.Test() && !under(target, logrus, watermill) {
		return ""
	}
	return rule.instead
}

// forbiddenOurs is forbidden for a folder of this module.
func forbiddenOurs(rule row, file File, target string) string {
	folder := file.Folder()
	if !file.Test() && slices.Contains(testingOnly, target) && target != folder && !match("test/...", folder) && !strings.HasSuffix(file.Package, "test") {
		return "this package is for tests and would link package testing into the binary; use it from _test.go files only"
	}
	for _, allowed := range rule.ours {
		if allowed == own {
			allowed = bind(rule.folder, folder)
		}
		if allowed == everything || match(allowed, target) {
			return ""
		}
	}
	if file.Test() && slices.Contains(testsMayImport, target) {
		return ""
	}
	if match("services/*/...", folder) && match("services/*/...", target) {
		return "services never import each other; what both need lives in internal/ or travels as an event"
	}
	return rule.instead
}

// checkForm holds one file against the rules that aren't about imports.
func checkForm(file File) []Violation {
	var found []Violation
	if file.Lines > MaxLines && !file.Generated {
		found = append(found, Violation{File: file.Path, Rule: fmt.Sprintf("%d lines are too many to review at once, the limit is %d; split the file by its nouns", file.Lines, MaxLines)})
	}
	if !file.Test() {
		for _, line := range file.Inits {
			found = append(found, Violation{File: file.Path, Line: line, Rule: "nothing runs in init, which no caller can order, configure or test; give the package a constructor and call it from cmd/"})
		}
	}
	for _, use := range file.Logging {
		found = append(found, Violation{File: file.Path, Line: use.Line, Rule: use.Name + " uses the process-wide logger; take a logrus.FieldLogger in the Config and log through that"})
	}
	return found
}

// checkPackages holds the packages' names and comments against the rules. A
// folder whose files are all tests is a package too.
func checkPackages(files []File) []Violation {
	type pack struct {
		name      string
		documents map[string]string // file name → package comment, where there is one
	}
	packages := map[string]*pack{}
	for _, file := range files {
		p := packages[file.Folder()]
		if p == nil {
			p = &pack{documents: map[string]string{}}
			packages[file.Folder()] = p
		}
		// doc.go knows the name best: a generator beside it is package main.
		if p.name == "" || path.Base(file.Path) == "doc.go" {
			p.name = strings.TrimSuffix(file.Package, "_test")
		}
		if file.Doc != "" && !file.Test() {
			p.documents[path.Base(file.Path)] = file.Doc
		}
	}
	var found []Violation
	for _, folder := range slices.Sorted(maps.Keys(packages)) {
		p := packages[folder]
		home, opening := "doc.go", "Package "+p.name+" "
		if p.name == "main" {
			home, opening = "main.go", ""
		}
		if doc, ok := p.documents[home]; !ok || !strings.HasPrefix(doc, opening) {
			found = append(found, Violation{File: path.Join(folder, home), Rule: fmt.Sprintf("package %s has no package comment here (beginning with %q); say what it promises, what it does not, and how it is used", p.name, opening)})
		}
		for _, name := range []string{p.name, path.Base(folder)} {
			if slices.Contains(vagueNames, name) {
				found = append(found, Violation{File: folder, Rule: fmt.Sprintf("the name %q says nothing about what the package provides; name it with the noun it owns", name)})
				break
			}
		}
	}
	return found
}

// CheckLinks returns what the packages of this module link and may not, at any
// depth. graph maps the path of each package, ours and others', to the paths
// that it imports outside its tests. Each violation names the chain.
func CheckLinks(graph map[string][]string) []Violation {
	var found []Violation
	for _, from := range slices.Sorted(maps.Keys(graph)) {
		folder, ok := inModule(from)
		if !ok || !match("revocation/...", folder) {
			continue
		}
		banned := append([]string{logrus, watermill, natsServer}, redisClients...)
		if !match("revocation/revocationnats/...", folder) {
			banned = append(banned, natsGo)
		}
		if !match("revocation/revocationgrpc/...", folder) {
			banned = append(banned, grpcGo)
		}
		if !match("revocation/revocationprom/...", folder) {
			banned = append(banned, prometheus)
		}
		if chain := reach(graph, from, func(p string) bool { return under(p, banned...) }); chain != nil {
			found = append(found, Violation{
				File:   folder,
				Import: chain[len(chain)-1],
				Rule:   "an embedder would inherit it through " + strings.Join(chain, " → ") + "; take an interface or a hook instead (nats.go belongs to revocation/revocationnats alone, grpc to revocation/revocationgrpc, and Prometheus to revocation/revocationprom)",
			})
		}
	}
	return found
}

// reach returns the shortest chain of imports from a package to one that is
// wanted, both ends included, or nil.
func reach(graph map[string][]string, from string, wanted func(string) bool) []string {
	before := map[string]string{from: ""} // package → the one that led to it
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range graph[queue[0]] {
			if _, seen := before[next]; seen {
				continue
			}
			before[next] = queue[0]
			if wanted(next) {
				var chain []string
				for p := next; p != ""; p = before[p] {
					chain = append(chain, p)
				}
				slices.Reverse(chain)
				return chain
			}
			queue = append(queue, next)
		}
	}
	return nil
}

// rowOf returns the row that decides for a folder.
func rowOf(folder string) (row, bool) {
	for _, r := range table {
		if match(r.folder, folder) {
			return r, true
		}
	}
	return row{}, false
}

// bind replaces each "*" of a pattern with the element that folder, which
// matches it, has there: "services/*/..." and services/gate give "services/gate/...".
func bind(pattern, folder string) string {
	bound, elements := strings.Split(pattern, "/"), strings.Split(folder, "/")
	for i := range bound {
		if bound[i] == "*" {
			bound[i] = elements[i]
		}
	}
	return strings.Join(bound, "/")
}

// match reports whether a folder is meant by a pattern: "a/b" is that folder,
// "a/..." is a and everything below it, and "*" is any one element.
func match(pattern, folder string) bool {
	want, deep := strings.CutSuffix(pattern, "/...")
	w, f := strings.Split(want, "/"), strings.Split(folder, "/")
	if len(f) < len(w) || len(f) > len(w) && !deep {
		return false
	}
	for i := range w {
		if w[i] != "*" && w[i] != f[i] {
			return false
		}
	}
	return true
}

// under reports whether an import path is one of the modules or lies inside one.
func under(target string, modules ...string) bool {
	return slices.ContainsFunc(modules, func(m string) bool {
		return target == m || strings.HasPrefix(target, m+"/")
	})
}

// inModule returns the folder of an import path of this module; "." is its root.
func inModule(target string) (folder string, ok bool) {
	if target == Module {
		return ".", true
	}
	return strings.CutPrefix(target, Module+"/")
}

// standard reports whether an import path belongs to the standard library:
// the first element of every other module's path has a dot.
func standard(target string) bool {
	first, _, _ := strings.Cut(target, "/")
	return !strings.Contains(first, ".")
}
