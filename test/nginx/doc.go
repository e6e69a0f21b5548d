// Package nginx runs deploy/nginx/forward-auth.conf as it stands, but for its addresses, in Debian's nginx, between a caller, a Curfew server
// and an application. It holds tests only. They need nginx (apt-get install nginx-light) and fail without it.
package nginx
