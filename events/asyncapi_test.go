package events_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const asyncAPIFile = "asyncapi.yaml"

// asyncAPI is what the tests read of asyncapi.yaml.
type asyncAPI struct {
	AsyncAPI string `yaml:"asyncapi"`
	Servers  map[string]struct {
		Host     string
		Protocol string
	}
	Channels map[string]struct {
		Address    string
		Parameters map[string]struct {
			Enum     []string
			Default  string
			Examples []string
		}
		Messages map[string]reference
		Servers  []reference
		Bindings map[string]any
	}
	Operations map[string]struct {
		Action   string
		Channel  reference
		Messages []reference
	}
	Components struct {
		Messages map[string]struct {
			Name        string
			Title       string
			ContentType string `yaml:"contentType"`
			Headers     reference
			Payload     reference
			Examples    []struct {
				Name    string
				Payload any
			}
		}
		Schemas map[string]struct {
			Properties map[string]struct{ Const string }
		}
	}
}

type reference struct {
	Ref string `yaml:"$ref"`
}

func readAsyncAPI(t testing.TB) (doc asyncAPI, tree any) {
	t.Helper()
	b := readFile(t, asyncAPIFile)
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	return doc, tree
}

func TestAsyncAPIReferences(t *testing.T) {
	doc, tree := readAsyncAPI(t)
	if !strings.HasPrefix(doc.AsyncAPI, "3.") {
		t.Errorf("asyncapi: %q, want 3.x", doc.AsyncAPI)
	}
	references := 0
	var walk func(at string, file string, root, node any)
	walk = func(at, file string, root, node any) {
		switch node := node.(type) {
		case map[string]any:
			for name, child := range node {
				ref, ok := child.(string)
				if name != "$ref" || !ok {
					walk(at+"/"+name, file, root, child)
					continue
				}
				references++
				if err := resolve(file, root, ref); err != nil {
					t.Errorf("%s: $ref %s: %v", at, ref, err)
				}
			}
		case []any:
			for i, child := range node {
				walk(fmt.Sprintf("%s/%d", at, i), file, root, child)
			}
		}
	}
	walk(asyncAPIFile+"#", asyncAPIFile, tree, tree)
	schemaFiles, err := filepath.Glob("schema/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range schemaFiles {
		root, err := parseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		walk(file+"#", file, root, root)
	}
	if references < 50 {
		t.Errorf("found only %d references: the test looks in the wrong place", references)
	}
}

// resolve follows a reference that stands in file, whose content is root, to an existing place.
func resolve(file string, root any, ref string) error {
	target, pointer, _ := strings.Cut(ref, "#")
	if target != "" {
		var err error
		if root, err = parseFile(path.Join(path.Dir(file), target)); err != nil {
			return err
		}
	}
	node := root
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if part == "" {
			continue
		}
		members, ok := node.(map[string]any)
		if !ok {
			return fmt.Errorf("no object above %q", part)
		}
		if node, ok = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]; !ok {
			return fmt.Errorf("no member %q", part)
		}
	}
	return nil
}

func parseFile(name string) (root any, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return root, yaml.Unmarshal(b, &root) // JSON is YAML
}

func TestAsyncAPIMessages(t *testing.T) {
	doc, _ := readAsyncAPI(t)
	inLedger := doc.Channels["ledger"].Messages
	for _, e := range allEvents() {
		name := events.Name(e)
		m, ok := doc.Components.Messages[name]
		if !ok {
			t.Errorf("no message for %s", name)
			continue
		}
		if m.Name != events.Type(e) || m.Title != name || m.ContentType != events.ContentType {
			t.Errorf("%s: name %q, title %q, contentType %q", name, m.Name, m.Title, m.ContentType)
		}
		if want := "./schema/" + name + ".schema.json"; m.Payload.Ref != want {
			t.Errorf("%s: payload %q, want %q", name, m.Payload.Ref, want)
		}
		if want := "#/components/schemas/Headers"; m.Headers.Ref != want {
			t.Errorf("%s: headers %q, want %q", name, m.Headers.Ref, want)
		}
		if want := "#/components/messages/" + name; inLedger[name].Ref != want {
			t.Errorf("%s: in the ledger %q, want %q", name, inLedger[name].Ref, want)
		}
	}
	if len(inLedger) != len(allEvents()) {
		t.Errorf("the ledger carries %q", sortedKeys(inLedger))
	}
	headers := doc.Components.Schemas["Headers"].Properties
	if _, ok := headers["Nats-Msg-Id"]; !ok || headers["Content-Type"].Const != events.ContentType || len(headers) != 2 {
		t.Errorf("headers %v", headers)
	}
}

func TestAsyncAPIExamplesAreTheGoldenFiles(t *testing.T) {
	doc, _ := readAsyncAPI(t)
	want := map[string]string{} // example → file
	for _, dir := range []string{goldenDir, "tab/testdata/golden"} {
		for _, file := range fileNames(t, dir) {
			want[strings.TrimSuffix(file, ".json")] = filepath.Join(dir, file)
		}
	}
	for name, m := range doc.Components.Messages {
		for _, example := range m.Examples {
			file, ok := want[example.Name]
			if !ok {
				t.Errorf("%s: example %q is no golden file, or stands there twice", name, example.Name)
				continue
			}
			delete(want, example.Name)
			var payload any
			if err := json.Unmarshal(readFile(t, file), &payload); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(payload, viaJSON(t, example.Payload)); diff != "" {
				t.Errorf("%s: example %s (-file +example):\n%s", name, example.Name, diff)
			}
			if typ, _ := payload.(map[string]any)["type"].(string); typ != m.Name {
				t.Errorf("%s: example %s is of type %q, want %q", name, example.Name, typ, m.Name)
			}
		}
	}
	for example, file := range want {
		t.Errorf("no example %s holds %s", example, file)
	}
}

// viaJSON gives YAML's numbers the type that JSON's have.
func viaJSON(t testing.TB, v any) (out any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAsyncAPIChannels(t *testing.T) {
	doc, _ := readAsyncAPI(t)
	ledger := doc.Channels["ledger"]
	var kinds []string
	for _, k := range events.Kinds() {
		kinds = append(kinds, string(k))
	}
	if diff := cmp.Diff(kinds, ledger.Parameters["kind"].Enum); diff != "" {
		t.Errorf("kinds (-code +document):\n%s", diff)
	}
	if got := ledger.Parameters["tenant"].Default; got != events.DefaultTenant {
		t.Errorf("default tenant %q, want %q", got, events.DefaultTenant)
	}
	if got := sortedKeys(ledger.Parameters); !slices.Equal(got, []string{"kind", "shard", "tenant"}) {
		t.Errorf("parameters %q", got)
	}
	for _, tenant := range ledger.Parameters["tenant"].Examples {
		for _, shard := range ledger.Parameters["shard"].Examples {
			for _, kind := range kinds {
				address := strings.NewReplacer("{tenant}", tenant, "{shard}", shard, "{kind}", kind).Replace(ledger.Address)
				topic, err := events.ParseTopic(address)
				if err != nil || topic.String() != address || topic.Tenant != tenant || string(topic.Kind) != kind {
					t.Errorf("%s parses to %v, %v", address, topic, err)
				}
			}
		}
	}
	if got := doc.Channels["beat"].Address; got != events.TopicBeat {
		t.Errorf("the beat's address %q, want %q", got, events.TopicBeat)
	}
	conn := doc.Channels["conn"]
	if conn.Address != "/v1/connect" {
		t.Errorf("the conn's address %q", conn.Address)
	}
	if !strings.Contains(fmt.Sprint(conn.Bindings["ws"]), regexp.QuoteMeta(tab.Subprotocol)) {
		t.Errorf("the conn's binding doesn't name the subprotocol: %v", conn.Bindings)
	}
	for name, c := range doc.Channels {
		want := "#/servers/ledger"
		if name == "conn" || name == "notices" {
			want = "#/servers/tabs"
		}
		if len(c.Servers) != 1 || c.Servers[0].Ref != want {
			t.Errorf("channel %s is at %v, want %s", name, c.Servers, want)
		}
	}
	if doc.Servers["ledger"].Protocol != "nats" || doc.Servers["tabs"].Protocol != "wss" {
		t.Errorf("servers %v", doc.Servers)
	}
}

func TestAsyncAPIOperations(t *testing.T) {
	doc, _ := readAsyncAPI(t)
	for _, want := range []struct {
		name, action, channel string
		messages              []string
	}{
		{"publishEvent", "send", "ledger", sortedKeys(doc.Channels["ledger"].Messages)},
		{"followLedger", "receive", "ledger", sortedKeys(doc.Channels["ledger"].Messages)},
		{"sendBeat", "send", "beat", []string{"Beat"}},
		{"hearBeat", "receive", "beat", []string{"Beat"}},
		{"tellTab", "send", "conn", []string{"Drain", "Heartbeat", "Logout", "Ready", "SessionExpiring", "SessionRenewed", "SessionsChanged"}},
		{"tellStream", "send", "notices", []string{"Close", "Drain", "Heartbeat", "Logout", "Ready", "SessionExpiring", "SessionRenewed", "SessionsChanged"}},
		{"hearTab", "receive", "conn", []string{"Ack", "Hello"}},
	} {
		op, ok := doc.Operations[want.name]
		if !ok || op.Action != want.action || op.Channel.Ref != "#/channels/"+want.channel {
			t.Errorf("%s: %+v, want %+v", want.name, op, want)
			continue
		}
		var messages []string
		for _, m := range op.Messages {
			messages = append(messages, strings.TrimPrefix(m.Ref, op.Channel.Ref+"/messages/"))
		}
		slices.Sort(messages)
		if diff := cmp.Diff(want.messages, messages); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.name, diff)
		}
	}
	if len(doc.Operations) != 7 {
		t.Errorf("operations %q", sortedKeys(doc.Operations))
	}
}
