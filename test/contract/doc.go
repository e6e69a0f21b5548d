// Package contract holds a running server and docs/openapi.yaml to each other: every call is made for success and for each error that the
// document names, requests and answers are validated against it, and routes and codes of the source are compared with it. It is tests only.
package contract
