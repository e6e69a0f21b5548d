#!/usr/bin/env bash
# Builds the console's page from services/console/web into services/console/dist, which is committed and embedded in the binary.
set -euo pipefail

usage() {
  cat <<'HELP'
Usage: scripts/console.sh [--check]

Builds the page that services/console embeds. Commit what it writes.

  --check  builds into a temporary folder instead, and fails if a byte differs from what is committed

Needs Node 20.19 or later and npm.
HELP
}

check=false
case "${1-}" in
  "") ;;
  --check) check=true ;;
  -h | --help)
    usage
    exit 0
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/../services/console/web"
timeout --foreground 10m npm ci --no-audit --no-fund
npm run check

if ! $check; then
  npx vite build
  exit 0
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
npx vite build --outDir "$scratch/dist" --emptyOutDir
if ! diff -r "$scratch/dist" ../dist >/dev/null; then
  diff -rq "$scratch/dist" ../dist || true
  echo "services/console/dist isn't what services/console/web is built to: run scripts/console.sh and commit what it writes" >&2
  exit 1
fi
echo "services/console/dist is what services/console/web is built to"
