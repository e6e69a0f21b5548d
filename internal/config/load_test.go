package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/curfewhq/curfew/internal/config"
)

// member is one member of the configuration, found by reflection.
type member struct {
	// name is dotted, as in YAML's path.
	name  string
	index []int
	typ   reflect.Type
}

func members(t *testing.T) []member {
	t.Helper()
	var all []member
	var walk func(typ reflect.Type, prefix string, index []int)
	walk = func(typ reflect.Type, prefix string, index []int) {
		for f := range typ.Fields() {
			tag := f.Tag.Get("koanf")
			if tag == "" {
				t.Fatalf("%s of %s has no name", f.Name, typ)
			}
			at := append(append([]int{}, index...), f.Index...)
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, prefix+tag+".", at)
				continue
			}
			all = append(all, member{prefix + tag, at, f.Type})
		}
	}
	walk(reflect.TypeFor[config.Config](), "", nil)
	return all
}

func (m member) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(m.name) }
func (m member) env() string {
	return "CURFEW_" + strings.ToUpper(strings.ReplaceAll(m.name, ".", "_"))
}

func (m member) yaml(value string) string {
	var out strings.Builder
	names := strings.Split(m.name, ".")
	for depth, name := range names[:len(names)-1] {
		out.WriteString(strings.Repeat("  ", depth) + name + ":\n")
	}
	return out.String() + strings.Repeat("  ", len(names)-1) + names[len(names)-1] + ": " + value + "\n"
}

func (m member) of(c config.Config) any { return reflect.ValueOf(c).FieldByIndex(m.index).Interface() }

// values returns three different values of the member's type, none of them a default, as texts and as they should be read.
func (m member) values(t *testing.T) (texts [3]string, want [3]any) {
	t.Helper()
	for i := range 3 {
		n := i + 7
		switch m.typ {
		case reflect.TypeFor[string]():
			texts[i], want[i] = fmt.Sprint("v", n), fmt.Sprint("v", n)
		case reflect.TypeFor[time.Duration]():
			texts[i], want[i] = fmt.Sprint(n, "h"), time.Duration(n)*time.Hour
			texts[i] = strings.ReplaceAll(texts[i], " ", "")
		case reflect.TypeFor[int]():
			texts[i], want[i] = fmt.Sprint(n), n
		case reflect.TypeFor[int64]():
			texts[i], want[i] = fmt.Sprint(n), int64(n)
		case reflect.TypeFor[[]string]():
			texts[i], want[i] = fmt.Sprintf("a%d, b%d", n, n), []string{fmt.Sprint("a", n), fmt.Sprint("b", n)}
		case reflect.TypeFor[bool]():
			texts[i], want[i] = fmt.Sprint(i%2 == 0), i%2 == 0
		default:
			t.Fatalf("%s has a type that this test doesn't know", m.name)
		}
	}
	return texts, want
}

func write(t *testing.T, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "curfew.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, environ, args []string) (config.Config, error) {
	t.Helper()
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Flags(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.Load(set, environ)
}

// TestEveryMember fails when a member has no flag, isn't read from one of the three places, or one place doesn't go before the next.
func TestEveryMember(t *testing.T) {
	all := members(t)
	if len(all) < 30 {
		t.Fatalf("found %d members only", len(all))
	}
	seen := map[string]string{}
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			if other, ok := seen[m.env()]; ok {
				t.Fatalf("%s and %s have the same variable", m.name, other)
			}
			seen[m.env()] = m.name
			set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
			config.Flags(set)
			f := set.Lookup(m.flag())
			if f == nil {
				t.Fatalf("there is no --%s", m.flag())
			}
			if f.Usage == "" {
				t.Error("the flag says nothing")
			}
			texts, want := m.values(t)
			path := write(t, m.yaml(texts[0]))
			fromFile := []string{"CURFEW_CONFIG=" + path}
			fromEnv := append(fromFile, m.env()+"="+texts[1])
			args := []string{"--" + m.flag() + "=" + strings.ReplaceAll(texts[2], ", ", ",")}
			for _, step := range []struct {
				where         string
				environ, args []string
				want          any
			}{
				{"default", nil, nil, m.of(config.Default())}, {"YAML", fromFile, nil, want[0]}, {"environment", fromEnv, nil, want[1]},
				{"flag", fromEnv, args, want[2]}, {"flag for the file", []string{m.env() + "=" + texts[1]}, []string{"--config", path}, want[1]},
			} {
				got, err := load(t, step.environ, step.args)
				if err != nil {
					t.Fatalf("%s: %v", step.where, err)
				}
				if diff := cmp.Diff(step.want, m.of(got)); diff != "" {
					t.Errorf("%s: %s", step.where, diff)
				}
				// Nothing else may change.
				reflect.ValueOf(&got).Elem().FieldByIndex(m.index).Set(reflect.ValueOf(m.of(config.Default())))
				if diff := cmp.Diff(config.Default(), got); diff != "" {
					t.Errorf("%s changes other members: %s", step.where, diff)
				}
			}
		})
	}
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Flags(set)
	set.VisitAll(func(f *pflag.Flag) {
		for _, m := range all {
			if m.flag() == f.Name {
				return
			}
		}
		if f.Name != "config" {
			t.Errorf("--%s is a flag of no member", f.Name)
		}
	})
}

func TestDefaultsOfFlagsAreTheDefaults(t *testing.T) {
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Flags(set)
	for _, m := range members(t) {
		want := fmt.Sprint(m.of(config.Default()))
		if list, ok := m.of(config.Default()).([]string); ok {
			want = "[" + strings.Join(list, ",") + "]"
		}
		if got := set.Lookup(m.flag()).DefValue; got != want {
			t.Errorf("--%s says its default is %s, but it is %s", m.flag(), got, want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name    string
		yaml    string
		environ []string
		want    []string
	}{
		{name: "unknown members", yaml: "listn: a\njwt:\n  tennant: b\n", want: []string{"listn isn't a member", "jwt.tennant isn't a member"}},
		{name: "a dot in a name", yaml: "jwt.tenant: b\n", want: []string{"jwt.tenant isn't a member"}},
		{name: "unknown variables", environ: []string{"CURFEW_LISTN=a", "CURFEW_JWT_TENNANT=b"}, want: []string{"CURFEW_LISTN isn't known", "CURFEW_JWT_TENNANT isn't known"}},
		{name: "everything at once", yaml: "listn: a\nmax_age: soon\n", environ: []string{"CURFEW_LISTN=a", "CURFEW_MAX_CONNS=many"},
			want: []string{"listn isn't a member", "CURFEW_LISTN isn't known", "max_age", "max_conns"}},
		{name: "a duration without a unit", yaml: "clock_skew: 5\nledger:\n  sync_interval: 100\n", want: []string{"clock_skew", "sync_interval", "with a unit"}},
		{name: "a duration without a unit in the environment", environ: []string{"CURFEW_DRAIN_WINDOW=5"}, want: []string{"drain_window", "with a unit"}},
		{name: "no YAML", yaml: "listen: [", want: []string{"config file"}},
		{name: "no file", environ: []string{"CURFEW_CONFIG=/does/not/exist.yaml"}, want: []string{"/does/not/exist.yaml"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.yaml != "" {
				tt.environ = append(tt.environ, "CURFEW_CONFIG="+write(t, tt.yaml))
			}
			_, err := load(t, tt.environ, nil)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q isn't said in: %v", want, err)
				}
			}
		})
	}
}

func TestLoadAccepts(t *testing.T) {
	environ := []string{
		"PATH=/bin", "CURFEW_URL=http://a", "CURFEW_ADMIN_URL=http://b", "CURFEW_API_KEY=k", "CURFEW_API_KEY_FILE=f",
		// Kubernetes gives these to each pod beside a service named curfew.
		"CURFEW_SERVICE_HOST=10.0.0.1", "CURFEW_SERVICE_PORT=7080", "CURFEW_SERVICE_PORT_HTTP=7080", "CURFEW_PORT=tcp://10.0.0.1:7080",
		"CURFEW_PORT_7080_TCP=tcp://10.0.0.1:7080", "CURFEW_PORT_7080_TCP_PROTO=tcp", "CURFEW_PORT_7080_TCP_PORT=7080",
		"CURFEW_PORT_7080_TCP_ADDR=10.0.0.1", "CURFEW_ADMIN_PORT=tcp://10.0.0.1:7081", "CURFEW_ADMIN_SERVICE_HOST=10.0.0.2",
	}
	got, err := config.Load(nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), got); diff != "" {
		t.Error(diff)
	}
	if _, err := config.Load(nil, []string{"CURFEW_LISTEN_PORT=7080"}); err == nil {
		t.Error("a misspelt variable is taken for one of Kubernetes's")
	}
}

func TestLists(t *testing.T) {
	for text, want := range map[string][]string{"": nil, "a": {"a"}, "a,b": {"a", "b"}, " a , b ,": {"a", "b"}} {
		got, err := config.Load(nil, []string{"CURFEW_ALLOWED_ORIGINS=" + text})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.AllowedOrigins); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	got, err := config.Load(nil, []string{"CURFEW_CONFIG=" + write(t, "roles: [gate]\nallowed_origins:\n  - https://a\n  - https://b\n")})
	if err != nil {
		t.Fatal(err)
	}
	// A shorter list replaces a longer default and isn't laid over it.
	if diff := cmp.Diff([][]string{{"gate"}, {"https://a", "https://b"}}, [][]string{got.Roles, got.AllowedOrigins}); diff != "" {
		t.Error(diff)
	}
}

func TestDescribe(t *testing.T) {
	c := config.Default()
	c.NATS.URL = "nats://ann:p@ss:w0rt@a:4222, tls://t0ken@b:4222,nats://c:4222"
	c.JWT.JWKSURL = "https://user:hunter2@idp.example/keys"
	c.Redis.URL = "redis://:hu,nt@er,3@r:6379/0"
	lines := config.Describe(c)
	text := strings.Join(lines, "\n")
	for _, secret := range []string{"ann", "p@ss", "w0rt", "t0ken", "hunter2", "hu,nt", "er,3"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	for _, want := range []string{"max_age = 720h0m0s", "nats.url = nats://(redacted)@a:4222, tls://(redacted)@b:4222,nats://c:4222", "jwt.jwks_url = https://(redacted)@idp.example/keys", "redis.url = redis://(redacted)@r:6379/0", "roles = [publisher gate fanout sessions replay audit]"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if got, want := len(lines), len(members(t)); got != want {
		t.Errorf("%d of %d members are described", got, want)
	}
}

// TestSessionsByDefault: nobody is signed out for being away unless somebody has said so, and tabs are told a minute before.
func TestSessionsByDefault(t *testing.T) {
	got, err := config.Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Sessions; s.IdleTimeout != 0 || s.Notice != time.Minute || s.IPv4Bits != 24 || s.IPv6Bits != 48 {
		t.Errorf("%+v", s)
	}
}
