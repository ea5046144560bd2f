#!/bin/sh
# Makes one file out of the program: scripts/compile.sh [OUTPUT] [more flags of deno compile, such as --target …]
# The same commit gives the same bytes, whoever makes it, wherever, whenever (docs/decisions/0014-reproducible-build.md).
# The permissions are part of it. DATA_DIR must then be ./data, /data, /var/lib/timmy or below one of them.
# TIMMY_PROGRAM is timmy (the default) or timmyctl. DENO names the deno to use. With DENORT_BIN (the base program of the same
# Deno version) nothing is downloaded but packages. TIMMY_COMMIT names the commit where there is no .git.
set -eu
cd "$(dirname "$0")/.."
. scripts/permissions.sh
deno=${DENO:-deno}
program=${TIMMY_PROGRAM:-timmy}
output=${1:-dist/$program}
[ $# -eq 0 ] || shift
case $output in /*) ;; *) output=$PWD/$output ;; esac
case $deno in /*) ;; */*) deno=$PWD/$deno ;; esac
mkdir -p "$(dirname "$output")"

case $program in
timmy) entry=index.ts ;;
timmyctl) entry=timmyctl.ts ;;
*) echo "compile.sh: TIMMY_PROGRAM is timmy or timmyctl, not $program" >&2 && exit 2 ;;
esac

commit=${TIMMY_COMMIT:-}
if [ -z "$commit" ]; then
  commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
  [ -z "$(git status --porcelain 2>/dev/null)" ] || commit=$commit-modified
fi

# The machine's own authorities count too, as for its other programs: without them deno downloads nothing behind some proxies.
export DENO_TLS_CA_STORE="${DENO_TLS_CA_STORE:-mozilla,system}"
# Of a package only what the program loads is taken. What else packages bring would be carried in memory by the running binary.
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT INT TERM
"$deno" run --quiet --no-prompt --frozen --allow-read --allow-write --allow-env --allow-run tasks/bundle.ts "$entry" "$build" "$commit"

cd "$build"
# Types are checked beside the tests (deno task check), with packages that the program does without.
set -- "$@" --output "$output" index.js
if [ "$program" = timmy ]; then
  # shellcheck disable=SC2086
  "$deno" compile --quiet --no-prompt --no-check --no-lock --no-code-cache $TIMMY_V8 $TIMMY_PERMISSIONS \
    "--allow-read=$TIMMY_FOLDERS" "--allow-write=$TIMMY_FOLDERS" "$@"
else
  # shellcheck disable=SC2086
  "$deno" compile --quiet --no-prompt --no-check --no-lock --no-code-cache $TIMMYCTL_PERMISSIONS "$@"
fi
