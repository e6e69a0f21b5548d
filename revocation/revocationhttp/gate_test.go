package revocationhttp_test

import (
	"strings"
	"testing"

	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

func TestGateConfigFaults(t *testing.T) {
	good := map[string]revocationhttp.APIKey{"default": revocationhttp.NewAPIKey(keyText)}
	with := func(text string) map[string]revocationhttp.APIKey {
		return map[string]revocationhttp.APIKey{"default": revocationhttp.NewAPIKey(text)}
	}
	const url = "https://curfew.example.com"
	tests := []struct {
		name string
		cfg  revocationhttp.GateConfig
		// want are words of the error; none if the configuration is good.
		want []string
	}{
		{"https", revocationhttp.GateConfig{URL: url, Keys: good}, nil},
		{"with a path", revocationhttp.GateConfig{URL: url + "/curfew/", Keys: good}, nil},
		{"loopback", revocationhttp.GateConfig{URL: "http://127.0.0.1:8080", Keys: good}, nil},
		{"loopback by name", revocationhttp.GateConfig{URL: "http://localhost:8080", Keys: good}, nil},
		{"loopback of IPv6", revocationhttp.GateConfig{URL: "http://[::1]:8080", Keys: good}, nil},
		{"http", revocationhttp.GateConfig{URL: "http://curfew.example.com", Keys: good}, []string{"https"}},
		{"http by choice", revocationhttp.GateConfig{URL: "http://curfew.example.com", DangerouslyAllowHTTP: true, Keys: good}, nil},
		{"not even http by choice", revocationhttp.GateConfig{URL: "ftp://curfew.example.com", DangerouslyAllowHTTP: true, Keys: good}, []string{"URL"}},
		{"credentials", revocationhttp.GateConfig{URL: "https://ann:hidden@curfew.example.com", Keys: good}, []string{"URL"}},
		{"query", revocationhttp.GateConfig{URL: url + "?a=b", Keys: good}, []string{"URL"}},
		{"fragment", revocationhttp.GateConfig{URL: url + "#a", Keys: good}, []string{"URL"}},
		{"no host", revocationhttp.GateConfig{URL: "/v1/check", Keys: good}, []string{"URL"}},
		{"everything", revocationhttp.GateConfig{Timeout: -1, MaxConcurrent: -1}, []string{"URL", "Keys is required", "Timeout", "MaxConcurrent"}},
		{"not a tenant", revocationhttp.GateConfig{URL: url, Keys: map[string]revocationhttp.APIKey{"": good["default"]}}, []string{"tenant"}},
		{"zero key", revocationhttp.GateConfig{URL: url, Keys: map[string]revocationhttp.APIKey{"default": {}}}, []string{"is empty"}},
		{"empty key", revocationhttp.GateConfig{URL: url, Keys: with("")}, []string{"is empty"}},
		{"key with a line's end", revocationhttp.GateConfig{URL: url, Keys: with("hidden\n")}, []string{"holds what no key does"}},
		{"key with a header", revocationhttp.GateConfig{URL: url, Keys: with("hidden\r\nX-Evil: 1")}, []string{"holds what no key does"}},
		{"key with its scheme", revocationhttp.GateConfig{URL: url, Keys: with("Bearer hidden")}, []string{"holds what no key does"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gate, err := revocationhttp.NewGate(tt.cfg)
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				_, _ = gate.Close(), gate.Close()
				return
			}
			if err == nil || gate != nil {
				t.Fatalf("NewGate: %v, %v", gate, err)
			}
			for _, word := range tt.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%v doesn't say %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("%v tells a secret", err)
			}
		})
	}
}
