package problem

import (
	"net/url"
	"regexp"
)

// parameterName is what a fault may repeat of a query that nobody knows.
var parameterName = regexp.MustCompile(`^[a-z_]{1,40}$`)

// ReadQuery gives each parameter of a query to set, which says what to do instead, or "". It returns the first fault, of what can't be read too, and of what stands there twice: ignoring a parameter
// would silently change what is asked for.
func ReadQuery(rawQuery string, set func(name, v string) (remedy string)) (url.Values, *Fault) {
	// Not URL.Query, which drops what it can't read.
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, &Fault{Field: "query", Detail: "can't be read: percent-encode its values"}
	}
	for name, values := range query {
		remedy := set(name, values[0])
		if remedy == "" && len(values) > 1 {
			remedy = "must be given once"
		}
		if remedy != "" {
			if !parameterName.MatchString(name) {
				name = "query"
			}
			return nil, &Fault{Field: name, Detail: remedy}
		}
	}
	return query, nil
}
