#!/bin/sh
# Starts Timmy from source with the permissions it needs and no others. Arguments go to the program: audit, health, …
# DENO names the deno to use; DENO_FLAGS adds flags, such as --watch. TIMMY_ENV_FILE names a file of settings (deno task start: .env),
# which counts less than the environment and may be missing.
set -eu
cd "$(dirname "$0")/.."
. scripts/permissions.sh
envfile=
if [ -n "${TIMMY_ENV_FILE:-}" ] && [ -f "$TIMMY_ENV_FILE" ]; then
  envfile=--env-file=$TIMMY_ENV_FILE
  : "${DATA_DIR:=$(sed -n "s/^DATA_DIR=\\(['\"]\\{0,1\\}\\)\\(.*\\)\\1\$/\\2/p" "$TIMMY_ENV_FILE" | tail -n 1)}"
fi
# Data elsewhere than in the allowed folders: name it, and it is allowed too.
folders="$TIMMY_FOLDERS${DATA_DIR:+,$DATA_DIR}"
# Without a deno of its own, the machine's Node brings the one this is developed on.
deno=${DENO:-deno}
command -v "$deno" >/dev/null 2>&1 || deno="npx --yes deno@2.9.6"
# shellcheck disable=SC2086
exec $deno run --quiet --no-prompt --frozen $TIMMY_V8 ${DENO_FLAGS:-} $TIMMY_PERMISSIONS ${envfile:+"$envfile"} \
  "--allow-read=$folders" "--allow-write=$folders" index.ts "$@"
