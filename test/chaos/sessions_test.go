package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/redistest"
)

// ask calls the API of an instance.
func (i *instance) ask(method, path, body, key string, into any) error {
	req, err := http.NewRequest(method, i.api+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return fmt.Errorf("%d %s %w", resp.StatusCode, answer, err)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// TestIdleSessionsOfProcessesThatAreKilled: of three processes that end idle sessions two are killed in the middle of it, and one is stopped for a while and goes on; each session is ended by
// one event all the same, and none that somebody was in.
func TestIdleSessionsOfProcessesThatAreKilled(t *testing.T) {
	for _, store := range []string{"JetStream", "Redis"} {
		t.Run(store, func(t *testing.T) {
			n := newNode(t)
			args := []string{"--sessions-idle-timeout", "4s", "--sessions-notice", "1s"}
			if store == "Redis" {
				args = append(args, "--redis-url", redistest.Start(t).URL())
			}
			one := serve(t, n.url(), args...)
			two, three := serve(t, n.url(), args...), serve(t, n.url(), args...)
			const all, kept = 150, 10
			name := func(i int) string { return fmt.Sprintf("%s-%d", strings.ToLower(store), i) }
			for i := range all {
				body := fmt.Sprintf(`{"session":%q,"user":"u-%d"}`, name(i), i%5)
				if err := one.ask(http.MethodPost, "/v1/sessions", body, one.key, nil); err != nil {
					t.Fatal(err)
				}
			}
			touch := func() {
				touches := make([]string, kept)
				for i := range touches {
					touches[i] = fmt.Sprintf(`{"session":%q}`, name(i))
				}
				var got struct{ Results []struct{ Result string } }
				if err := one.ask(http.MethodPost, "/v1/sessions/touch", `{"touches":[`+strings.Join(touches, ",")+`]}`, one.key, &got); err != nil {
					t.Fatal(err)
				}
				for i, r := range got.Results {
					if r.Result != "touched" {
						t.Fatalf("session %d, which was touched each moment, is %s", i, r.Result)
					}
				}
			}
			ended := func() map[string]int {
				var history struct {
					Revocations []struct {
						Event struct{ Data struct{ Session string } }
					}
				}
				if err := one.ask(http.MethodGet, "/v1/revocations?limit=1000", "", one.key, &history); err != nil {
					t.Fatal(err)
				}
				n := map[string]int{}
				for _, r := range history.Revocations {
					n[r.Event.Data.Session]++
				}
				return n
			}
			// In the middle of it: some have ended, and most have not.
			eventually(t, "some sessions have ended", func() bool { touch(); return len(ended()) > 0 })
			two.kill()
			three.stop()
			eventually(t, "more have ended", func() bool { touch(); return len(ended()) > all/2 })
			three.cont()
			eventually(t, "all idle sessions have ended", func() bool { touch(); return len(ended()) == all-kept })
			// Those that are killed leave claims, which others take up after a while; what is doubled would be by then.
			three.kill()
			for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
				touch()
			}
			for session, n := range ended() {
				if n != 1 {
					t.Errorf("%s was ended %d times", session, n)
				}
			}
			for i := range kept {
				if n := ended()[name(i)]; n != 0 {
					t.Errorf("%s was ended, and somebody was in it", name(i))
				}
			}
		})
	}
}
