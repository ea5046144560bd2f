#!/bin/sh
# Starts Timmy from source with the permissions it needs and no others. Arguments go to the program: audit, health, …
# DENO names the deno to use; DENO_FLAGS adds flags, such as --watch.
set -eu
cd "$(dirname "$0")/.."
. scripts/permissions.sh
# Data elsewhere than in the allowed folders: name it, and it is allowed too.
folders="$TIMMY_FOLDERS${DATA_DIR:+,$DATA_DIR}"
# shellcheck disable=SC2086
exec "${DENO:-deno}" run --quiet --no-prompt --frozen ${DENO_FLAGS:-} $TIMMY_PERMISSIONS \
  "--allow-read=$folders" "--allow-write=$folders" index.ts "$@"
