package console

import (
	"net/http"
	"strings"
)

const apiPrefix = "/console/api"

// forwarded are the calls of the API that the page makes. What makes or revokes keys isn't among them, nor what a tab or an application calls.
func forwarded() []string {
	return []string{
		"GET " + apiPrefix + "/v1/revocations",
		"GET " + apiPrefix + "/v1/revocations/stats",
		"GET " + apiPrefix + "/v1/revocations/{event}",
		"GET " + apiPrefix + "/v1/explain",
		"GET " + apiPrefix + "/v1/replicas",
		"GET " + apiPrefix + "/v1/receipts",
		"GET " + apiPrefix + "/v1/receipts/{event}",
		"GET " + apiPrefix + "/v1/users/{user}/sessions",
		"GET " + apiPrefix + "/v1/users/{user}/tabs",
		"GET " + apiPrefix + "/v1/replays",
		"POST " + apiPrefix + "/v1/replays",
		"GET " + apiPrefix + "/v1/replays/{id}",
		"POST " + apiPrefix + "/v1/replays/{id}/cancel",
		"POST " + apiPrefix + "/v1/replays/{id}/resume",
		"GET " + apiPrefix + "/v1/parked",
		"GET " + apiPrefix + "/v1/parked/{position}",
		"DELETE " + apiPrefix + "/v1/parked/{position}",
		"POST " + apiPrefix + "/v1/parked/{position}/retry",
		"POST " + apiPrefix + "/v1/users/{user}/logout",
		"DELETE " + apiPrefix + "/v1/sessions/{session}",
	}
}

// forward has the API answer for the operator. The page's own credentials stay here: what a header says of who it is counts for nothing.
func (s *Service) forward(w http.ResponseWriter, r *http.Request, who operator) {
	ctx, end := s.cfg.Keys.Vouch(r.Context(), who.key)
	defer end()
	r = r.Clone(ctx)
	for _, name := range []string{"Authorization", "Cookie", "Origin", "Referer"} {
		r.Header.Del(name)
	}
	r.RequestURI = strings.TrimPrefix(r.RequestURI, apiPrefix)
	http.StripPrefix(apiPrefix, s.cfg.API).ServeHTTP(w, r)
}
