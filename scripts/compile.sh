#!/bin/sh
# Makes one file out of the program: scripts/compile.sh [OUTPUT] [more flags of deno compile, such as --target …]
# The permissions are part of it. DATA_DIR must then be ./data, /data, /var/lib/timmy or below one of them.
# DENO names the deno to use. With DENORT_BIN (the base program of the same Deno version) nothing is downloaded.
set -eu
cd "$(dirname "$0")/.."
. scripts/permissions.sh
output=${1:-dist/timmy}
[ $# -eq 0 ] || shift
mkdir -p "$(dirname "$output")"
# The time of a source file ends up in the binary: the same commit gives the same bytes.
stamp=$(git log -1 --format=%ct 2>/dev/null || echo 0)
git ls-files -z '*.ts' 'deno.json' 'deno.lock' 2>/dev/null | xargs -0 -r touch -d "@$stamp"
# shellcheck disable=SC2086
exec "${DENO:-deno}" compile --quiet --no-prompt --frozen --no-code-cache $TIMMY_PERMISSIONS \
  "--allow-read=$TIMMY_FOLDERS" "--allow-write=$TIMMY_FOLDERS" --output "$output" "$@" index.ts
