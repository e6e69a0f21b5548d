package events_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

const schemaBase = "https://github.com/curfewhq/curfew/events/schema/"

// schemas compiles what events.Schemas holds. Nothing is fetched: a reference to another place fails.
func schemas(t testing.TB, assertFormat bool) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if assertFormat {
		c.AssertFormat()
	}
	files, err := fs.Glob(events.Schemas, "schema/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := fs.ReadFile(events.Schemas, file)
		if err != nil {
			t.Fatal(err)
		}
		doc := parseJSON(t, b)
		id := schemaBase + path.Base(file)
		if got := doc.(map[string]any)["$id"]; got != id {
			t.Errorf("%s: $id %v, want %s", file, got, id)
		}
		if err := c.AddResource(id, doc); err != nil {
			t.Fatal(err)
		}
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, file := range files {
		s, err := c.Compile(schemaBase + path.Base(file))
		if err != nil {
			t.Fatal(err)
		}
		compiled[strings.TrimSuffix(path.Base(file), ".schema.json")] = s
	}
	return compiled
}

func parseJSON(t testing.TB, b []byte) any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSchemas(t *testing.T) {
	want := []string{"common", "tab"}
	for _, e := range allEvents() {
		want = append(want, events.Name(e))
	}
	got := schemas(t, true)
	for _, name := range want {
		if got[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("schemas %q, want %q", sortedKeys(got), want)
	}
}

func TestGoldenFilesMatchTheirSchema(t *testing.T) {
	for _, assertFormat := range []bool{false, true} {
		all := schemas(t, assertFormat)
		for file, e := range golden() {
			doc := parseJSON(t, readFile(t, path.Join(goldenDir, file)))
			for name, s := range all {
				err := s.Validate(doc)
				switch {
				case name == events.Name(e) && err != nil:
					t.Errorf("%s: %v", file, err)
				case name != events.Name(e) && name != "common" && err == nil:
					t.Errorf("%s passes as %s too", file, name)
				}
			}
		}
	}
}

// TestForeignFilesMatchTheirSchema holds the schemas to what readers take: unknown members, any order, any RFC 3339 time.
func TestForeignFilesMatchTheirSchema(t *testing.T) {
	all := schemas(t, true)
	for file, same := range foreignRead {
		err := all[events.Name(golden()[same])].Validate(parseJSON(t, readFile(t, path.Join(foreignDir, file))))
		// Readers take more than writers write: null, "", [] and year 1 for what is left out.
		if lenient := strings.HasPrefix(file, "left-out-as-"); (err != nil) != lenient {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestGeneratedEventsMatchTheirSchema(t *testing.T) {
	all := schemas(t, true)
	rapid.Check(t, func(rt *rapid.T) {
		e := genEvent().Draw(rt, "event")
		b, err := events.Encode(e)
		if err != nil {
			rt.Fatal(err)
		}
		if err := all[events.Name(e)].Validate(parseJSON(t, b)); err != nil {
			rt.Fatalf("%s\n%v", b, err)
		}
	})
}

func TestSchemaAndDecodeAgree(t *testing.T) {
	all := schemas(t, false)
	for _, e := range allEvents() {
		name := events.Name(e)
		file := readFile(t, path.Join(goldenDir, name+".full.json"))
		t.Run(name, func(t *testing.T) {
			for _, m := range append(commonMutations(), ownMutations(e)...) {
				b := mutate(t, file, m)
				_, decodeErr := events.Decode(b)
				schemaErr := all[name].Validate(parseJSON(t, b))
				got := map[[2]bool]verdict{
					{true, true}: both, {false, false}: neither, {false, true}: onlySchema, {true, false}: onlyDecode,
				}[[2]bool{decodeErr == nil, schemaErr == nil}]
				if got != m.want {
					t.Errorf("%s = %.60q: taken by %s, want %s\nDecode: %v\nschema: %v", m.path, m.value, got, m.want, decodeErr, schemaErr)
				}
			}
		})
	}
}

// TestSchemaEnumsAreTheCodes compares the lists that stand in Go and in the schema.
func TestSchemaEnumsAreTheCodes(t *testing.T) {
	var common struct {
		Defs struct {
			Reason    struct{ Enum []events.Reason }
			Initiator struct {
				Properties struct {
					Type struct{ Enum []events.InitiatorType }
				}
			}
			Text struct{ MaxLength int }
			ID   struct{ MaxLength int }
		} `json:"$defs"`
	}
	b, err := fs.ReadFile(events.Schemas, "schema/common.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &common); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events.Reasons(), common.Defs.Reason.Enum); diff != "" {
		t.Errorf("reasons (-code +schema):\n%s", diff)
	}
	if diff := cmp.Diff(initiatorTypes(), common.Defs.Initiator.Properties.Type.Enum); diff != "" {
		t.Errorf("initiator types (-code +schema):\n%s", diff)
	}
	if common.Defs.ID.MaxLength != events.MaxIDBytes || common.Defs.Text.MaxLength != events.MaxTextBytes {
		t.Errorf("limits %d and %d, want %d and %d", common.Defs.ID.MaxLength, common.Defs.Text.MaxLength, events.MaxIDBytes, events.MaxTextBytes)
	}
}
