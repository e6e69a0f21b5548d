#!/usr/bin/env bash
# All figures of docs/benchmarks/replica.md in one run.
set -euo pipefail

usage() {
  cat <<'HELP'
Usage: scripts/bench-replica.sh

Measures the replica beside what one would write or pick in its place, prints
benchstat's comparison and a table of all aims, and leaves the raw results in a
folder. docs/benchmarks/replica.md says what each figure means. Let nothing else
run meanwhile: it takes about 25 minutes on two cores, and 16 GiB of memory.

Peers are measured in turns: each round measures all of them once, so that what
the machine does in some minutes falls on all alike. What isn't noisy, or takes
long to set up, is measured in a quarter of the rounds (memory, gc, and otter and
sync.Map with ten million entries).

Environment:
  COUNT=10                 rounds
  SIZES=10k,100k,1M,10M    numbers of entries, some of these; what is measured
                           at one size only takes the largest
  STEPS=...                which of: miss check load redis memory gc snapshot start
  OUT=bench-results        where results go; older ones are replaced

The exit code is 0 if all was measured, whatever the figures are.
Needs Go, and Debian's package redis-server for the step redis.
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

COUNT=${COUNT:-10}
SIZES=${SIZES:-10k,100k,1M,10M}
STEPS=${STEPS:-miss check load redis memory gc snapshot start}
OUT=${OUT:-bench-results}
BENCHSTAT=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

if ! [[ $COUNT =~ ^[1-9][0-9]*$ ]]; then
  echo "bench-replica.sh: COUNT is a number of rounds, not $COUNT" >&2
  exit 2
fi
if ! [[ $SIZES =~ ^(10k|100k|1M|10M)(,(10k|100k|1M|10M))*$ ]]; then
  echo "bench-replica.sh: SIZES are some of 10k,100k,1M,10M, not $SIZES" >&2
  exit 2
fi
for step in ${STEPS//,/ }; do
  if ! [[ $step =~ ^(miss|check|load|redis|memory|gc|snapshot|start)$ ]]; then
    echo "bench-replica.sh: there is no step $step" >&2
    exit 2
  fi
done

wants() { [[ " ${STEPS//,/ } " == *" $1 "* ]]; }
sized() { [[ ",$SIZES," == *",$1,"* ]]; }

# Debian keeps redis-server in sbin or bin.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
# The figures are those of two processors, also where there are more.
export GOMAXPROCS=2

if wants redis && ! command -v redis-server >/dev/null; then
  echo "bench-replica.sh: redis-server is missing: apt-get install redis-server, or leave the step redis out of STEPS" >&2
  exit 1
fi

sizes="(${SIZES//,/|})"
# All but the largest.
small=$(tr ',' '\n' <<<"$SIZES" | grep -v '^10M$' | paste -sd '|')
largest=10k
for size in 100k 1M 10M; do
  if sized "$size"; then largest=$size; fi
done
# What is measured in a process of its own, or only there.
memory_sizes=()
for size in 10k 1M 10M; do
  if sized "$size"; then memory_sizes+=("$size"); fi
done
case $largest in
  1M | 10M) redis_entries=1M tail=100k cold_tail=1M ;;
  *) redis_entries=10k tail=1k cold_tail=10k ;;
esac

mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
rm -f "$OUT"/*.txt
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

machine() {
  lscpu 2>/dev/null | sed -n 's/^Model name: */cpu: /p' | head -n 1
  echo "cores: $(nproc), of which $GOMAXPROCS are used"
  echo "memory: $(sed -n 's/^MemTotal: *//p' /proc/meminfo 2>/dev/null)"
  echo "kernel: $(uname -sr)"
  echo "huge pages: $(cat /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null || echo unknown)"
  go version
  if wants redis; then redis-server --version | cut -d ' ' -f 1-3; fi
  echo "commit: $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  echo "rounds: $COUNT, sizes: $SIZES"
  echo "load before: $(cut -d ' ' -f 1-3 /proc/loadavg 2>/dev/null || echo unknown)"
}

# log FILE COMMAND... shows what a command prints, and keeps it.
log() {
  local file=$OUT/$1.txt
  shift
  "$@" | tee -a "$file"
}

# gobench FILE BINARY PATTERN BENCHTIME
gobench() {
  log "$1" "$tools/$2" -test.run '^$' -test.bench "$3" -test.benchtime "$4" -test.timeout 30m
}

log machine machine
go test -c -o "$tools/set.test" ./revocation
go test -c -o "$tools/outside.test" ./test/bench
go build -o "$tools/bench" ./test/bench

for ((round = 1; round <= COUNT; round++)); do
  printf '\n==> round %d of %d, after %d s\n' "$round" "$COUNT" "$SECONDS"
  if wants miss; then
    # Ten million entries take otter and sync.Map minutes to take in.
    if [ -n "$small" ]; then gobench miss set.test "^BenchmarkMiss\$/^entries=($small)\$" 1x; fi
    if sized 10M; then
      gobench miss set.test '^BenchmarkMiss$/^entries=10M$/^set=(curfew|rwmutex-map|xsync)$' 1x
      if ((round % 4 == 1)); then gobench miss set.test '^BenchmarkMiss$/^entries=10M$/^set=(sync.Map|otter)$' 1x; fi
    fi
  fi
  if wants check; then
    gobench check set.test "^BenchmarkCheck\$/^entries=$sizes\$" 500ms
    gobench check set.test '^BenchmarkDRAM$' 500ms
  fi
  if wants load; then
    gobench load set.test '^BenchmarkCheckDuringLoad$' 1x
    gobench load set.test "^BenchmarkGrow\$/^entries=$largest\$" 1x
  fi
  if wants redis; then gobench redis outside.test "^BenchmarkAgainstRedis\$/^entries=$redis_entries\$" 500ms; fi
  if ((round % 4 == 1)); then
    for set in curfew rwmutex-map; do
      if wants memory; then
        for size in "${memory_sizes[@]}"; do
          for mix in sessions mixed; do
            log memory "$tools/bench" memory -set "$set" -entries "$size" -mix "$mix"
          done
        done
      fi
      if wants gc; then log gc "$tools/bench" gc -set "$set" -entries "$largest"; fi
    done
  fi
done
if wants snapshot; then
  for mix in sessions mixed; do
    log snapshot "$tools/bench" snapshot -entries "$largest" -mix "$mix" -count "$COUNT" -dir "$OUT"
  done
fi
if wants start; then
  log start "$tools/bench" start -entries "$largest" -mix mixed -tail "$tail" -count "$COUNT" -dir "$OUT"
  log start "$tools/bench" start -cold -tail "$cold_tail" -count "$COUNT" -dir "$OUT"
fi

measured() { (cd "$OUT" && ls "$@" 2>/dev/null) || true; }
compare() {
  cd "$OUT"
  local file
  for file in $(measured miss.txt load.txt redis.txt memory.txt gc.txt); do
    printf '\n== %s, by what holds the revocations\n\n' "$file"
    go run "$BENCHSTAT" -col /set "$file"
  done
  for file in $(measured check.txt snapshot.txt start.txt); do
    printf '\n== %s\n\n' "$file"
    go run "$BENCHSTAT" "$file"
  done
}
# In a subshell, for it changes the folder.
(log benchstat compare)

printf '\n== the aims\n\n'
# An aim that was missed stands in the table, and is no failure of the run.
results=()
for file in $(measured miss.txt check.txt load.txt redis.txt memory.txt gc.txt snapshot.txt start.txt); do
  results+=("$OUT/$file")
done
log report "$tools/bench" report "${results[@]}" || true
printf '\nAll in %d min %d s. Results: %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$OUT"
