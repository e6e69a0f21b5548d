#!/usr/bin/env bash
# The example application of clients/demo with all that is behind it, on this machine.
set -euo pipefail

usage() {
  cat <<'HELP'
Usage: scripts/demo-authjs.sh [options]

Builds and starts an application of Next.js and Auth.js whose sessions end
everywhere at once: curfew serve, the application, and a small service behind it.
It prints one address, and what to try there, and runs until Ctrl-C, which ends
all that it has started. Everything listens on loopback only.

It installs with npm ci, from the package registry and into the working tree, what
clients/ and clients/demo name in their lock files, and builds with go build and
next build. Nothing else is changed: data is kept in a folder of its own.

Options:
  --port N           the application (3000)
  --curfew-port N    the API and the gateway (7080); the two after it are for
                     health and metrics, and for NATS
  --backend-port N   the service behind the application (7090)
  --data-dir DIR     keeps the ledger, keys and logs there; else they are in a
                     temporary folder, which is removed at the end
  --idle-timeout T   after how long without anybody's being there a session ends,
                     in seconds or minutes, as 90s or 2m (2m)
  --notice T         how long before that the tabs ask (1m)
  --origin URL       where browsers reach the application, if something stands in
                     front of it (http://localhost:PORT)
  --gateway URL      where browsers reach the gateway (http://localhost:CURFEW-PORT)
  --dev              next dev, which builds pages as they are asked for
  --build-only       builds, and starts nothing
  --no-build         starts what an earlier run with the same --data-dir has built
  -h, --help

The exit code is 0 after Ctrl-C, 1 if something doesn't start or ends by itself,
and 2 for options that it doesn't take.
Needs Linux with Go 1.26 or later, Node 20 or later and npm.
HELP
}

fail() {
  printf 'demo-authjs.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

PORT=3000 CURFEW_PORT=7080 BACKEND_PORT=7090 IDLE_TIMEOUT=2m NOTICE=1m
DATA='' ORIGIN='' GATEWAY='' DEV='' NO_BUILD='' BUILD_ONLY=''

while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --dev) DEV=1 && shift && continue ;;
    --build-only) BUILD_ONLY=1 && shift && continue ;;
    --no-build) NO_BUILD=1 && shift && continue ;;
    --port | --curfew-port | --backend-port | --data-dir | --idle-timeout | --notice | --origin | --gateway) ;;
    *) usage >&2 && fail "there is no option $1" 2 ;;
  esac
  [ -n "${2-}" ] || fail "$1 takes a value" 2
  case "$1" in
    --port) PORT=$2 ;;
    --curfew-port) CURFEW_PORT=$2 ;;
    --backend-port) BACKEND_PORT=$2 ;;
    --data-dir) DATA=$2 ;;
    --idle-timeout) IDLE_TIMEOUT=$2 ;;
    --notice) NOTICE=$2 ;;
    --origin) ORIGIN=$2 ;;
    --gateway) GATEWAY=$2 ;;
  esac
  shift 2
done

for port in "$PORT" "$CURFEW_PORT" "$BACKEND_PORT"; do
  if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65533 ]; then
    fail "a port is a number from 1 to 65533, not $port" 2
  fi
done
for time in "$IDLE_TIMEOUT" "$NOTICE"; do
  [[ $time =~ ^[1-9][0-9]{0,4}[sm]$ ]] || fail "a time is a number of seconds or minutes, as 90s or 2m, not $time" 2
done
for url in "$ORIGIN" "$GATEWAY"; do
  [[ $url =~ ^(https?://[^/[:space:]]+)?$ ]] || fail "an address is http:// or https:// and a host, with no path, not $url" 2
done
ORIGIN=${ORIGIN:-http://localhost:$PORT}
GATEWAY=${GATEWAY:-http://localhost:$CURFEW_PORT}
HEALTH_PORT=$((CURFEW_PORT + 1)) NATS_PORT=$((CURFEW_PORT + 2))
[ -z "$NO_BUILD" ] || [ -n "$DATA" ] || fail "--no-build takes the --data-dir of an earlier run" 2
[ -z "$BUILD_ONLY" ] || [ -n "$DATA" ] || fail "--build-only takes the --data-dir to build in" 2

# seconds prints a time without its unit.
seconds() { case "$1" in *m) echo $((${1%m} * 60)) ;; *) echo "${1%s}" ;; esac }
[ "$(seconds "$NOTICE")" -lt "$(seconds "$IDLE_TIMEOUT")" ] || fail "--notice must be shorter than --idle-timeout: with $NOTICE and $IDLE_TIMEOUT the tabs would always ask" 2
# Somebody's input is told often enough that they aren't asked while they are there.
touch_ms=$((($(seconds "$IDLE_TIMEOUT") - $(seconds "$NOTICE")) * 250))
[ "$touch_ms" -lt 15000 ] || touch_ms=15000

has() { command -v "$1" >/dev/null 2>&1; }
# at_least WANT HAVE compares version numbers.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }
has go || fail "go is not on PATH; install Go 1.26 or later"
has node || fail "node is not on PATH; install Node 20 or later"
has npm || fail "npm is not on PATH; it comes with Node"
go_version=$(go env GOVERSION)
node_version=$(node --version)
at_least 1.26 "${go_version#go}" || fail "Go 1.26 or later is needed, this is $go_version"
at_least 20 "${node_version#v}" || fail "Node 20 or later is needed, this is $node_version"

listens() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
# free PORT OPTION: localhost is both of these addresses for a browser.
free() {
  if listens 127.0.0.1 "$1" || listens ::1 "$1"; then
    fail "port $1 is in use; end what listens there (ss -tlnp 'sport = :$1' tells what it is), or choose another with $2"
  fi
}
if [ -z "$BUILD_ONLY" ]; then
  free "$PORT" --port
  for port in "$CURFEW_PORT" "$HEALTH_PORT" "$NATS_PORT"; do free "$port" --curfew-port; done
  free "$BACKEND_PORT" --backend-port
fi
distinct=$(printf '%s\n' "$PORT" "$CURFEW_PORT" "$HEALTH_PORT" "$NATS_PORT" "$BACKEND_PORT" | sort -u | wc -l)
[ "$distinct" -eq 5 ] || fail "two of the ports are the same: --port, --backend-port, and --curfew-port with the two after it must differ" 2

temporary=''
if [ -z "$DATA" ]; then
  DATA=$(mktemp -d)
  temporary=$DATA
fi
(umask 077 && mkdir -p "$DATA/logs" "$DATA/run")
DATA=$(cd "$DATA" && pwd)

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

names=() pids=()
# finish ends what was started, the last first, and waits for it.
finish() {
  local status=$? i n
  set +e # what has ended already can't be ended
  trap - EXIT
  trap '' INT TERM
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    # One that is stopped heeds nothing until it is continued.
    kill -TERM "${pids[i]}" 2>/dev/null && kill -CONT "${pids[i]}" 2>/dev/null
    for ((n = 0; n < 100; n++)); do
      kill -0 "${pids[i]}" 2>/dev/null || break
      sleep 0.05
    done
    kill -KILL "${pids[i]}" 2>/dev/null
    rm -f "$DATA/run/${names[i]}.pid"
  done
  [ -z "$temporary" ] || rm -rf "$temporary"
  exit "$status"
}
trap finish EXIT
trap 'exit 0' INT TERM HUP

# start NAME COMMAND... runs it in the background.
start() {
  local name=$1
  shift
  "$@" >"$DATA/logs/$name.log" 2>&1 &
  names+=("$name")
  pids+=($!)
  echo $! >"$DATA/run/$name.pid"
}

# ended NAME says why the whole ends.
ended() {
  printf '\n' >&2
  tail -n 20 "$DATA/logs/$1.log" >&2
  fail "$1 has ended; above is the end of its log${temporary:+ (with --data-dir it is kept)}"
}

# await URL waits until what was started last answers there with success.
await() {
  local name=${names[-1]} pid=${pids[-1]} left=300
  until node -e 'fetch(process.argv[1], { redirect: "manual" }).then((r) => process.exit(r.status < 400 ? 0 : 1), () => process.exit(1))' "$1"; do
    kill -0 "$pid" 2>/dev/null || ended "$name"
    left=$((left - 1))
    [ "$left" -gt 0 ] || fail "$name doesn't answer at $1; its log is $DATA/logs/$name.log"
    sleep 0.2
  done
}

# secret FILE makes one unless it is there.
secret() { [ -s "$1" ] || od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$1"; }

# install FOLDER: npm says what is wrong, and nothing else.
install() { npm ci --prefix "$1" --no-audit --no-fund --loglevel error >"$DATA/logs/npm.log" 2>&1 || { cat "$DATA/logs/npm.log" >&2 && fail "npm ci failed in $1"; }; }

export NEXT_TELEMETRY_DISABLED=1 GOFLAGS="${GOFLAGS:-} -buildvcs=false"

build() {
  echo "building curfew and the service behind the application (go build)"
  go build -o "$DATA/bin/" ./cmd/curfew ./cmd/demobackend
  if [ ! clients/node_modules/.package-lock.json -nt clients/package-lock.json ]; then
    echo "installing what the client packages are built with (npm ci in clients)"
    install clients
  fi
  echo "building the client packages"
  npm run --prefix clients --silent build --workspace browser --workspace authjs
  echo "installing the application (npm ci in clients/demo)"
  install clients/demo
  [ -n "$DEV" ] || (
    echo "building the application (next build), which takes a minute"
    cd clients/demo
    node node_modules/next/dist/bin/next build >"$DATA/logs/build.log" 2>&1 || { cat "$DATA/logs/build.log" >&2 && fail "next build failed"; }
  )
}

if [ -z "$NO_BUILD" ]; then
  build
elif [ ! -x "$DATA/bin/curfew" ] || { [ -z "$DEV" ] && [ ! -e clients/demo/.next/BUILD_ID ]; }; then
  fail "nothing was built before with this --data-dir; run without --no-build once"
fi
[ -z "$BUILD_ONLY" ] || exit 0

echo "starting"
umask 077 # there are secrets in what is written from here on
api=http://127.0.0.1:$CURFEW_PORT
start curfew "$DATA/bin/curfew" serve --data-dir "$DATA/curfew" --listen "127.0.0.1:$CURFEW_PORT" --admin-listen "127.0.0.1:$HEALTH_PORT" \
  --nats-listen "127.0.0.1:$NATS_PORT" --allowed-origins "$ORIGIN" --sessions-idle-timeout "$IDLE_TIMEOUT" --sessions-notice "$NOTICE"
await "http://127.0.0.1:$HEALTH_PORT/readyz"

# key FILE SCOPES NAME makes an API key unless there is one.
key() {
  [ -s "$1" ] || "$DATA/bin/curfew" keys create --url "$api" --data-dir "$DATA/curfew" --scopes "$2" --name "$3" >"$1" 2>"$DATA/logs/keys.log" ||
    { cat "$DATA/logs/keys.log" >&2 && fail "the API key $3 couldn't be made"; }
}
key "$DATA/app.key" publish,check,sessions "demo application"
key "$DATA/read.key" read "demo application, counts"
secret "$DATA/auth.secret"
secret "$DATA/backend.key"

NATS_URL=$(cat "$DATA/curfew/nats.url") BACKEND_KEY_FILE=$DATA/backend.key APP_ORIGIN=$ORIGIN BACKEND_LISTEN=127.0.0.1:$BACKEND_PORT \
  start backend "$DATA/bin/demobackend"
await "http://127.0.0.1:$BACKEND_PORT/healthz"

# The server itself and no shell or npm around it, so that it ends when it is told to.
app() {
  cd "$root/clients/demo"
  export CURFEW_URL=$api CURFEW_GATEWAY_URL=$GATEWAY AUTH_URL=$ORIGIN BACKEND_KEY_FILE=$DATA/backend.key TOUCH_INTERVAL_MS=$touch_ms
  export BACKEND_URL=http://127.0.0.1:$BACKEND_PORT CHAT_URL=ws://localhost:$BACKEND_PORT/chat
  CURFEW_API_KEY=$(cat "$DATA/app.key") CURFEW_READ_KEY=$(cat "$DATA/read.key") AUTH_SECRET=$(cat "$DATA/auth.secret")
  export CURFEW_API_KEY CURFEW_READ_KEY AUTH_SECRET
  exec node node_modules/next/dist/bin/next "$1" -H localhost -p "$PORT"
}
if [ -n "$DEV" ]; then start app app dev; else start app app start; fi
await "http://localhost:$PORT/signin"

cat <<END

  $ORIGIN

Sign in as ada, grace or linus, with the password correct-horse, and try:
  1. in a second browser, or a private window, sign in as the same person; then "Sign out other devices" in the first
  2. "Sign out everywhere" in one of five tabs: the other four leave, and it says who has confirmed
  3. the chat in one window, and in another end its session in the list of devices: it is cut off
  4. touch nothing for $IDLE_TIMEOUT: $NOTICE before the end every tab asks, and one answer is enough
  5. an operator ends a user's sessions:
     $DATA/bin/curfew revoke user ada --reason compromised --url $api --data-dir $DATA/curfew
  6. who knows of it, and which tabs are open:
     $DATA/bin/curfew doctor --user ada --url $api --admin-url http://127.0.0.1:$HEALTH_PORT --data-dir $DATA/curfew

Logs are in $DATA/logs. Ctrl-C ends everything.
END

# Whichever ends first ends the whole.
wait -n -p gone "${pids[@]}" || true
for i in "${!pids[@]}"; do
  [ "${pids[i]}" != "${gone-}" ] || ended "${names[i]}"
done
