// Package config is the configuration of curfew serve: its members, defaults and faults, and how it is put together from flags, the environment,
// a YAML file and defaults, in this order of precedence.
//
// A member is spelt the same everywhere: jwt.jwks_url in YAML is CURFEW_JWT_JWKS_URL in the environment and --jwt-jwks-url as a flag. Secrets are
// never flags or values but files. An unknown member of the file or the environment is a fault, because a misspelt one would silently have no
// effect. Validate reports all faults at once, each with what to do.
package config
