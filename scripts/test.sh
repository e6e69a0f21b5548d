#!/usr/bin/env bash
# Everything that must pass before a change is merged, in one command.
#
# shellcheck disable=SC2317 # the functions below are reached through step
set -euo pipefail

usage() {
  cat <<'HELP'
Usage: scripts/test.sh

Runs, in this order, everything that must pass before a change is merged:

  tools        installs what is missing: gcc, curl, nginx, redis-server, chromium, qemu-user-static (Debian packages)
  format       gofmt, go mod tidy
  vet          go vet
  lint         golangci-lint, or staticcheck where that is not installed
  build        go build
  tests        unit, property and integration tests with the race detector, in random order
  arm64        go vet and the tests of the assembly for ARM, in an emulator
  stress       Watermill's stress test at its full size, and the replica's set while it changes, without the race detector
  fuzz         every fuzz target, one after the other
  authjs       the reader of Auth.js's cookies against fresh ones of the real Auth.js, from npm
  console      builds the console's page anew, and compares it with what is committed
  browser      the browser tests in test/e2e, with the system's Chromium; pictures of the console are left in test/e2e/screenshots
  clients      installs what the npm packages are built and tested with
  @curfew/browser, @curfew/authjs
               the npm packages, with a server that is built now, the system's Chromium and the real frameworks
  applications applications of Next.js with and without @curfew/authjs, built and started
  demo         the example application with all that is behind it, as scripts/demo-authjs.sh starts it, and Chromium

A step that fails doesn't stop the later ones; only without the tools nothing
else is tried. The exit code is 0 if every step passed, else 1.

Needs Debian 12 with Go 1.26 or later, Node 20.19 or later and npm. Packages are
installed as root or through sudo, and only those that are missing.

Environment:
  FUZZTIME=30s      how long each fuzz target runs, as go test -fuzztime takes it
  SOAK=60s          how long replicas are compared with the model while things break (test/chaos)
HELP
}

case "${1-}" in
  "") ;;
  -h | --help)
    usage
    exit 0
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."

FUZZTIME=${FUZZTIME:-30s}
# The version of staticcheck that stands in where golangci-lint isn't installed.
STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Debian keeps nginx and redis-server in sbin, which only root's PATH names.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
# A checkout that belongs to somebody else must build too; git would refuse to stamp it.
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"

# Debian asks this file whether a package may start its service.
POLICY=/usr/sbin/policy-rc.d

scratch=$(mktemp -d)
finish() {
  if [ -e "$scratch/wrote-policy" ]; then
    as_root rm -f "$POLICY"
  fi
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

passed=0
failed=0
failures=

# step NAME COMMAND... runs the command in a subshell, and says how it went and how long it took. It always
# succeeds itself: called on the left of || or in an if, it would switch set -e off for all that the command does.
step() {
  local name=$1 began=$SECONDS status
  shift
  printf '\n==> %s\n' "$name"
  set +e
  (
    set -e
    "$@"
  )
  status=$?
  set -e
  if [ "$status" -eq 0 ]; then
    passed=$((passed + 1))
    printf '<== %s: passed in %d s\n' "$name" $((SECONDS - began))
  else
    failed=$((failed + 1))
    failures+="  $name"$'\n'
    printf '<== %s: FAILED (exit code %d) after %d s\n' "$name" "$status" $((SECONDS - began))
  fi
}

# summary ends the run.
summary() {
  printf '\n'
  if [ "$failed" -gt 0 ]; then
    printf 'Failed:\n%s' "$failures"
  fi
  printf 'All in %d min %d s.\n' $((SECONDS / 60)) $((SECONDS % 60))
  printf '%d steps passed, %d failed\n' "$passed" "$failed"
  if [ "$failed" -gt 0 ]; then
    exit 1
  fi
  exit 0
}

has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif has sudo; then
    sudo "$@"
  else
    echo "test.sh: installing packages needs root or sudo; install them first, or run as root" >&2
    return 1
  fi
}

# at_least WANT HAVE compares version numbers.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

tools() {
  local missing=()
  has go || { echo "test.sh: go is not on PATH; install Go 1.26 or later" >&2 && return 1; }
  has node || { echo "test.sh: node is not on PATH; install Node 20.19 or later" >&2 && return 1; }
  has npm || { echo "test.sh: npm is not on PATH; it comes with Node" >&2 && return 1; }
  local go_version node_version
  go_version=$(go env GOVERSION)
  node_version=$(node --version)
  at_least 1.26 "${go_version#go}" || { echo "test.sh: Go 1.26 or later is needed, this is $go_version" >&2 && return 1; }
  at_least 20.19 "${node_version#v}" || { echo "test.sh: Node 20.19 or later is needed, this is $node_version" >&2 && return 1; }

  has gcc || missing+=(gcc libc6-dev) # the race detector is linked with C
  [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
  has curl || missing+=(curl)
  has nginx || missing+=(nginx)
  has redis-server || missing+=(redis-server)
  [ -x /usr/bin/chromium ] || missing+=(chromium)
  has qemu-aarch64-static || missing+=(qemu-user-static)
  if [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    install_packages "${missing[@]}"
  fi
  echo "$go_version, node $node_version, $(nginx -v 2>&1), $(redis-server --version | cut -d ' ' -f 3)"
}

install_packages() {
  has apt-get || { echo "test.sh: no apt-get here; install these yourself: $*" >&2 && return 1; }
  if [ ! -e "$POLICY" ]; then
    # nginx and Redis, started on installation, would take the ports that tests use. A policy that is already
    # there is the machine's own and stays.
    touch "$scratch/wrote-policy"
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
  fi
  as_root apt-get -o DPkg::Lock::Timeout=300 -qq update
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends install "$@" >/dev/null
}

format() {
  local unformatted
  unformatted=$(find . \( -name node_modules -o -name testdata -o -name '.?*' \) -prune -o -name '*.go' -print0 | xargs -0 -r "$(go env GOROOT)/bin/gofmt" -l)
  if [ -n "$unformatted" ]; then
    printf 'not formatted; run gofmt -w on:\n%s\n' "$unformatted"
    return 1
  fi
  go mod tidy -diff || { echo 'go.mod or go.sum is untidy; run go mod tidy' && return 1; }
}

lint() {
  local golangci
  golangci=$(command -v golangci-lint || true)
  if [ -z "$golangci" ] && [ -x "$(go env GOPATH)/bin/golangci-lint" ]; then
    golangci=$(go env GOPATH)/bin/golangci-lint
  fi
  if [ -n "$golangci" ]; then
    "$golangci" version
    "$golangci" run ./...
    return
  fi
  echo "NOTICE: golangci-lint is not installed. staticcheck runs in its place;"
  echo "NOTICE: gosec, errorlint, bodyclose, depguard, forbidigo and revive were NOT run."
  go run "$STATICCHECK" ./...
}

tests() {
  # -count=1: a result from the cache proves nothing about servers, ports and time.
  SOAK=${SOAK:-60s} go test -race -shuffle=on -count=1 -timeout 20m ./...
}

# The assembly for ARM, whatever processor this is.
arm64() {
  export GOARCH=arm64 CGO_ENABLED=0
  go vet ./revocation/internal/...
  go test -exec qemu-aarch64-static -count=1 ./revocation/internal/fingerprint ./revocation/internal/prefetch
}

# fuzz_targets prints "package name" for each fuzz target, sorted.
fuzz_targets() {
  find . \( -name node_modules -o -name testdata -o -name '.?*' \) -prune -o -name '*_test.go' -print0 |
    xargs -0 -r grep -HoE '^func Fuzz[A-Za-z0-9_]*\(' |
    sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*)\($|\1 \2|' | sort -u
}

# fuzz PACKAGE NAME
fuzz() {
  local log status
  log=$scratch/fuzz.log
  status=0
  go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1s "$1" 2>&1 | tee "$log" || status=$?
  # Go 1.26 may report the end of the fuzz time itself as a failure (Go 1.27 no longer does).
  # A real finding writes its input to testdata/fuzz; this one writes nothing, and gets a second chance.
  if [ "$status" -ne 0 ] && grep -q '^ *context deadline exceeded$' "$log" && ! grep -qE 'Failing input|panic:' "$log"; then
    echo "NOTICE: the fuzzer was cut off by its own deadline and found nothing; running $2 once more."
    status=0
    go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1s "$1" || status=$?
  fi
  return "$status"
}

# The Go tests have such cookies in testdata; these are made now, with the packages that test/authjs pins.
authjs() {
  (cd test/authjs && timeout --foreground 10m npm ci --no-audit --no-fund && timeout --foreground 2m node generate.mjs "$scratch/authjs")
  CURFEW_AUTHJS_COOKIES="$scratch/authjs" go test -run '^TestAuthJS(Golden|Expiry)$' -count=1 ./revocation/revocationhttp
}

browser() {
  if [ ! -f test/e2e/package.json ]; then
    echo "test.sh: test/e2e/package.json is missing, so the browser tests can't run; restore the folder" >&2
    return 1
  fi
  cd test/e2e
  timeout --foreground 10m npm ci --no-audit --no-fund
  timeout --foreground 10m npm test
}

clients() {
  go build -o "$scratch/curfew" ./cmd/curfew
  cd clients
  timeout --foreground 10m npm ci --no-audit --no-fund
}

demo() {
  cd clients/demo
  timeout --foreground 20m npm test
}

# package NAME SCRIPT runs a script of one of the packages in clients.
package() {
  cd clients
  CURFEW_BINARY="$scratch/curfew" timeout --foreground 20m npm run "$2" --workspace "$1"
}

step tools tools
if [ "$failed" -gt 0 ]; then
  summary
fi

step format format
step vet go vet ./...
step lint lint
step build go build ./...
step tests tests
step arm64 arm64
step stress env CURFEW_STRESS=1 go test -run '^(TestWatermillStress|TestSetWhileItChanges)$' -count=1 -timeout 10m ./internal/bus ./revocation

targets=$(fuzz_targets)
if [ -z "$targets" ]; then
  echo "NOTICE: there is no fuzz target in this module."
fi
while read -r package name; do
  [ -n "$package" ] || continue
  # Without /dev/null the command could read the list that this loop reads.
  step "fuzz $package $name for $FUZZTIME" fuzz "$package" "$name" </dev/null
done <<<"$targets"

step authjs authjs
step console scripts/console.sh --check
step browser browser
step clients clients
step @curfew/browser package browser test
step @curfew/authjs package authjs test
step applications package authjs test:apps
step demo demo
summary
