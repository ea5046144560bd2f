#!/bin/sh
# Makes one file out of the program: scripts/compile.sh [OUTPUT] [more flags of deno compile, such as --target …]
# The permissions are part of it. DATA_DIR must then be ./data, /data, /var/lib/timmy or below one of them.
# DENO names the deno to use. With DENORT_BIN (the base program of the same Deno version) nothing is downloaded.
set -eu
cd "$(dirname "$0")/.."
. scripts/permissions.sh
deno=${DENO:-deno}
output=${1:-dist/timmy}
[ $# -eq 0 ] || shift
mkdir -p "$(dirname "$output")"
# The time of a source file ends up in the binary: the same commit gives the same bytes.
stamp=$(git log -1 --format=%ct 2>/dev/null || echo 0)
git ls-files -z '*.ts' 'deno.json' 'deno.lock' 2>/dev/null | xargs -0 -r touch -d "@$stamp"
# What npm packages bring beside their code is carried in memory by the running binary: leave it out.
"$deno" cache --quiet --frozen index.ts
packages=$("$deno" info --json 2>/dev/null | sed -n 's/.*"npmCache": "\(.*\)".*/\1/p')
excluded=
for package in $(sed -n '/^  "npm": {/,/^  },/s/^    "\(@\{0,1\}[^@"]*\)@\([^_"]*\).*": {$/\1\/\2/p' deno.lock | sort -u); do
  for folder in "$packages"/*/"$package"; do
    [ -d "$folder" ] || continue
    excluded="$excluded $(find "$folder" \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.md' \
      -o -name 'swagger-ui-es-bundle*' -o -name 'swagger-ui-standalone*' -o \( -type d -name src -path '*sdk*' \) \
      -o \( -type d -name src -path '*zod*' \) \) -prune | sed 's/^/--exclude=/' | tr '\n' ' ')"
  done
done
# Types are checked beside the tests (deno task check), with packages that the program does without.
# shellcheck disable=SC2086
exec "$deno" compile --quiet --no-prompt --no-check --frozen --no-code-cache $TIMMY_V8 $TIMMY_PERMISSIONS \
  "--allow-read=$TIMMY_FOLDERS" "--allow-write=$TIMMY_FOLDERS" $excluded --output "$output" "$@" index.ts
