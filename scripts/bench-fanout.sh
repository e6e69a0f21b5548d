#!/usr/bin/env bash
# All figures of docs/benchmarks/fanout.md in one run.
set -euo pipefail

usage() {
  cat <<'HELP'
Usage: scripts/bench-fanout.sh

Measures the gateway with tens of thousands of tabs on this machine: what a tab
takes of its memory, how soon tabs are told of a logout, how many come back at
once, and what idle ones cost. Prints a table of all figures beside the aims, and
leaves the results in a folder. docs/benchmarks/fanout.md says what each figure
means. Let nothing else run meanwhile: it takes about ten minutes on two cores, and
4 GiB of memory.

Gateways, ledger and tabs are processes on loopback that share the processors.

Environment:
  COUNT=3             how often each is measured
  STEPS=...           which of: memory tls targeted everyone storm idle heartbeat
                      delay; all but heartbeat, which is idle with 5 s, if not set
  MOST=19000          tabs of one gateway, for memory and storm
  SPREAD=17000        tabs of each of three gateways, for the others
  WINDOW=192          handshakes under way at once, in each process with tabs
  OUT=bench-results   where results go; older ones are replaced
  PROFILE=            anything: keep CPU profiles of the processes in storm,
                      everyone and idle, which cost a little

The exit code is 0 if all was measured, whatever the figures are.
Needs Linux and Go, and a hard limit of open files (ulimit -Hn) 500 above MOST.
The ledger is written below TMPDIR, which should be on the disk that is meant.
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

COUNT=${COUNT:-3}
STEPS=${STEPS:-memory tls targeted everyone storm idle delay}
MOST=${MOST:-19000}
SPREAD=${SPREAD:-17000}
WINDOW=${WINDOW:-192}
OUT=${OUT:-bench-results}

for name in COUNT MOST SPREAD WINDOW; do
  if ! [[ ${!name} =~ ^[1-9][0-9]*$ ]]; then
    echo "bench-fanout.sh: $name is a number, not ${!name}" >&2
    exit 2
  fi
done
for step in ${STEPS//,/ }; do
  if ! [[ $step =~ ^(memory|tls|targeted|everyone|storm|idle|heartbeat|delay)$ ]]; then
    echo "bench-fanout.sh: there is no step $step" >&2
    exit 2
  fi
done
if [ "$(uname -s)" != Linux ]; then
  echo "bench-fanout.sh: it measures on Linux only" >&2
  exit 1
fi

export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
rm -f "$OUT"/fanout.txt "$OUT"/machine.txt "$OUT"/*.pprof
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

load() { cut -d ' ' -f 1-3 /proc/loadavg; }
machine() {
  lscpu 2>/dev/null | sed -n 's/^Model name: */cpu: /p' | head -n 1
  echo "cores: $(nproc)"
  echo "memory: $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
  echo "kernel: $(uname -sr)"
  echo "open files: $(ulimit -Hn)"
  echo "the ledger's disk: $(df --output=source,fstype "$(dirname "$tools")" | tail -n 1)"
  go version
  echo "commit: $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  echo "rounds: $COUNT, tabs: $MOST at one gateway, $SPREAD at each of three, window: $WINDOW"
  echo "load before: $(load)"
}

go build -o "$tools/fanout" ./test/bench/fanout
machine | tee "$OUT/machine.txt"
flags=(-count "$COUNT" -steps "$(tr -s ', ' ',' <<<"${STEPS}" | tr -d '\n')" -most "$MOST" -spread "$SPREAD" -window "$WINDOW")
if [ -n "${PROFILE:-}" ]; then flags+=(-profile "$OUT"); fi
"$tools/fanout" run "${flags[@]}" | tee "$OUT/fanout.txt"
echo "load after: $(load)" | tee -a "$OUT/machine.txt"
printf '\nAll in %d min %d s. Results: %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$OUT"
