# shellcheck shell=bash disable=SC2034
# What every command here shares: options, settings, files, secrets, and asking Bitcoin, LND and LNbits. Sourced, not run.
# Written for bash 3.2, which is what macOS has.

DRY_RUN=0
TIMEOUT=600
NODE=${TIMMY_NODE_HOME:-}
CHANGES=0

say() { printf '%s\n' "$*"; }
note() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# common_option OPTION [VALUE]: takes --dry-run, --home DIR, --timeout SECONDS and --help. TAKEN is how many words it was.
common_option() {
  TAKEN=1
  case "$1" in
    --dry-run) DRY_RUN=1 ;;
    --home) [ $# -ge 2 ] || die "--home needs a folder"; NODE=$2; TAKEN=2 ;;
    --timeout)
      [ $# -ge 2 ] || die "--timeout needs seconds"
      case "$2" in '' | *[!0-9]*) die "--timeout is '$2', not a number of seconds" ;; esac
      TIMEOUT=$2; TAKEN=2 ;;
    -h | --help) usage; exit 0 ;;
    *) die "unknown option '$1' (--help lists them)" ;;
  esac
}
# usage: the comment at the head of the command itself.
usage() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; }

# would WHAT: counts a change, and in a dry run says it and fails, so that `would "make x" || return 0` stands before each change.
would() {
  CHANGES=$((CHANGES + 1))
  if [ "$DRY_RUN" = 1 ]; then say "would $1"; return 1; fi
  say "$1"
}

# ---- where we are, and the settings -----------------------------------------

find_platform() {
  local system machine
  read -r system machine <<<"$(uname -sm)"
  case "$system" in
    Linux) OS=linux ;;
    Darwin) OS=darwin ;;
    *) die "this is $system; these scripts know macOS and Linux" ;;
  esac
  case "$OS-$machine" in
    linux-x86_64 | darwin-x86_64) ARCH=x86_64 ;;
    linux-aarch64 | linux-arm64) ARCH=aarch64 ;;
    darwin-arm64 | darwin-aarch64) ARCH=arm64 ;;
    *) die "no build of Bitcoin is known here for $system on $machine" ;;
  esac
  PLATFORM=$OS-$ARCH
}

SETTINGS="NETWORK IMPLEMENTATION SERVICE PRUNE_MIB ALIAS BITCOIN_BIN LND_BIN LNBITS_BIN BITCOIN_RPC_PORT ZMQ_BLOCK_PORT ZMQ_TX_PORT LND_RPC_PORT LND_REST_PORT LND_LISTEN LNBITS_PORT"
default_settings() {
  NETWORK=mainnet IMPLEMENTATION=core SERVICE='' PRUNE_MIB='' ALIAS=timmy-node BITCOIN_BIN='' LND_BIN='' LNBITS_BIN=''
  BITCOIN_RPC_PORT=8332 ZMQ_BLOCK_PORT=28332 ZMQ_TX_PORT=28333 LND_RPC_PORT=10009 LND_REST_PORT=8080 LND_LISTEN=127.0.0.1:9735 LNBITS_PORT=5000
}
# The file is read line by line and never run: what somebody writes into it cannot become a command.
read_settings() {
  local line key number=0
  [ -f "$NODE/node.conf" ] || return 0
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    case "$line" in '' | '#'*) continue ;; *=*) ;; *) die "$NODE/node.conf line $number is not KEY=value" ;; esac
    key=${line%%=*}
    case " $SETTINGS " in *" $key "*) ;; *) die "$NODE/node.conf line $number: unknown setting '$key'" ;; esac
    printf -v "$key" '%s' "${line#*=}"
  done <"$NODE/node.conf"
}
check_settings() {
  local key
  case "$NETWORK" in mainnet | signet | regtest) ;; *) die "NETWORK is '$NETWORK', not mainnet, signet or regtest" ;; esac
  case "$IMPLEMENTATION" in core | knots) ;; *) die "IMPLEMENTATION is '$IMPLEMENTATION', not core or knots" ;; esac
  case "$OS-$SERVICE" in
    darwin-launchd | linux-systemd-user | linux-systemd-system) ;;
    *) die "SERVICE is '$SERVICE'; on macOS it is launchd, on Linux systemd-user or systemd-system" ;;
  esac
  for key in PRUNE_MIB BITCOIN_RPC_PORT ZMQ_BLOCK_PORT ZMQ_TX_PORT LND_RPC_PORT LND_REST_PORT LNBITS_PORT; do
    case "${!key}" in '' | *[!0-9]*) die "$key is '${!key}', not a number" ;; esac
  done
  [ "$PRUNE_MIB" -eq 0 ] || [ "$PRUNE_MIB" -ge 550 ] || die "PRUNE_MIB is $PRUNE_MIB; Bitcoin keeps at least 550 MiB, and 0 means the whole chain"
  for key in ALIAS LND_LISTEN BITCOIN_BIN LND_BIN LNBITS_BIN; do
    case "${!key}" in *[!A-Za-z0-9/._:@+-]*) die "$key is '${!key}'; letters, digits and / . _ : @ + - only" ;; esac
  done
}
# Paths go into unit files, property lists and configurations, each with its own quoting: one that needs none is safe in all.
check_home() {
  # A copy that setup made belongs to the node that it lies in.
  if [ -z "$NODE" ] && [ -f "$HERE/../node.conf" ]; then NODE=$(cd "$HERE/.." && pwd); fi
  [ -n "$NODE" ] || NODE=$HOME/.timmy-node
  case "$NODE" in /*) ;; *) die "--home must be a full path, not '$NODE'" ;; esac
  case "$NODE" in *[!A-Za-z0-9/._-]*) die "--home is '$NODE'; choose a folder of letters, digits and . _ - only" ;; esac
  [ "$NODE" != / ] || die "--home cannot be /"
}
# For every command but setup: the node must be there.
open_node() {
  check_home; find_platform; default_settings
  [ -f "$NODE/node.conf" ] || die "no node in $NODE: run setup first, or name its folder with --home"
  read_settings; check_settings
  if [ "$SERVICE" = systemd-system ] && [ "$(id -u)" != 0 ] && [ "$(id -un)" != timmy-node ]; then
    die "the node in $NODE belongs to the machine: run this with sudo"
  fi
}

# How much of the chain is kept, by free disk in MiB. 40 GiB go to what pruning does not shrink (the coins that exist, LND, LNbits)
# and to growth. The whole chain is about 800 GB and grows by some 100 GB a year, so it is kept from 1,100 GiB on; below that, half
# of what is left beside the 40 GiB, between 5 and 200 GiB.
# Fails when there is no room. prune_for FREE-MIB
prune_for() {
  local left=$(($1 - 40960))
  if [ "$1" -ge 1126400 ]; then echo 0; return 0; fi
  [ "$left" -ge 10240 ] || return 1
  left=$((left / 2))
  if [ "$left" -gt 204800 ]; then left=204800; fi
  echo "$left"
}

# ---- files and secrets ------------------------------------------------------

sha256_of() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1" | awk '{ print $1 }'; else shasum -a 256 "$1" | awk '{ print $1 }'; fi
}
# As services of the system, the programs run as a user of their own. It owns its data, and may read the files that it needs; the
# folders in which root writes are root's, so that a broken program cannot lead root's writing elsewhere by a link.
own() {
  if [ "$SERVICE" != systemd-system ]; then return 0; fi
  case "$1" in "$NODE"/bitcoin | "$NODE"/lnd | "$NODE"/lnbits | "$NODE"/logs | "$NODE"/config/* | "$NODE"/secrets/*) chown -h timmy-node "$1" ;; esac
}

make_folder() {
  if [ -d "$1" ]; then return 0; fi
  would "make the folder $1" || return 0
  (umask 077 && mkdir -p "$1")
  if [ "$SERVICE" = systemd-system ]; then
    case "$1" in "$NODE" | "$NODE/config" | "$NODE/secrets") chmod 711 "$1" ;; esac
  fi
  own "$1"
}
# A file that others could read is closed again, and said.
keep_private() {
  if [ ! -f "$1" ] || [ -n "$(find "$1" -perm 600)" ]; then return 0; fi
  would "close $1 to others" || return 0
  chmod 600 "$1"
}

# put FILE MODE: writes what comes on stdin, through a temporary file. Left alone when the same is there. When the file there is not
# what these scripts wrote last, somebody changed it: it is kept, and the difference is shown without secrets.
put() {
  local file=$1 mode=$2 kept="$NODE/written/${1//\//_}" new old
  IFS= read -r -d '' new || true
  if [ -f "$file" ]; then
    IFS= read -r -d '' old <"$file" || true
    if [ "$old" = "$new" ]; then
      [ "$mode" != 600 ] || keep_private "$file"
      return 0
    fi
    if [ "$(cat "$kept" 2>/dev/null)" != "$(sha256_of "$file")" ]; then
      say "kept $file as you changed it; setup would write (- yours, + setup's):"
      printf '%s' "$new" | diff -u "$file" - | sed -e '1,2d' -e 's/\([Pp][Aa][Ss][Ss][A-Za-z]*=\).*/\1…/' -e 's/\(TOKEN=\).*/\1…/' -e 's/^/  /' || true
      return 0
    fi
    would "update $file" || return 0
  else
    would "write $file" || return 0
  fi
  (
    umask 077
    [ -d "$NODE/written" ] || mkdir -p "$NODE/written"
    printf '%s' "$new" >"$file.new"
    [ "$mode" = 600 ] || chmod "$mode" "$file.new"
  )
  own "$file.new"
  mv "$file.new" "$file"
  sha256_of "$file" >"$kept"
}

# keep_secret NAME COMMAND…: what COMMAND prints becomes $NODE/secrets/NAME unless there is one. The link fails where a file is, so
# that of two writers at once the first one's secret stays, and an interrupted one leaves no half of it.
keep_secret() {
  local file="$NODE/secrets/$1"; shift
  if [ -e "$file" ]; then
    [ -s "$file" ] || die "$file is empty: put the secret back from your backup, or remove the file if it was never used"
    keep_private "$file"
    return 0
  fi
  would "make the secret $file" || return 0
  (umask 077 && "$@" >"$file.$$" && [ -s "$file.$$" ] && ln "$file.$$" "$file" && rm -f "$file.$$") || { rm -f "$file.$$"; die "could not write $file"; }
  own "$file"
}
random_hex() { od -An -v -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# ---- JSON, without jq -------------------------------------------------------

# json_value KEY: of the JSON on stdin, the first plain value under KEY; nothing when there is none.
json_value() {
  local text value pattern="\"$1\"[[:space:]]*:[[:space:]]*(\"[^\"]*\"|-?[0-9][0-9.eE+-]*|true|false)"
  IFS= read -r -d '' text || true
  if [[ $text =~ $pattern ]]; then value=${BASH_REMATCH[1]#\"}; printf '%s' "${value%\"}"; fi
}
# json_inside KEY: the first object without objects in it under KEY.
json_inside() {
  local text pattern="\"$1\"[[:space:]]*:[[:space:]]*(\{[^{}]*\})"
  IFS= read -r -d '' text || true
  if [[ $text =~ $pattern ]]; then printf '%s' "${BASH_REMATCH[1]}"; fi
}
# json_text VALUE: as a JSON string, or null when empty.
json_text() {
  if [ -z "$1" ]; then printf null; return 0; fi
  printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g')"
}
# json_plain VALUE: a number, true or false as it is; anything else is null.
json_plain() {
  case "$1" in
    true | false) printf '%s' "$1" ;;
    '' | *[!0-9.-]* | *.*.* | .* | *. | ?*-*) printf null ;;
    *) printf '%s' "$1" ;;
  esac
}

# ---- Bitcoin, LND and LNbits ------------------------------------------------

bitcoin_cli() { "$BITCOIN_BIN/bitcoin-cli" "-conf=$NODE/config/bitcoin.conf" "-datadir=$NODE/bitcoin" "$@"; }
lncli() { "$LND_BIN/lncli" "--lnddir=$NODE/lnd" "--network=$NETWORK" "--rpcserver=127.0.0.1:$LND_RPC_PORT" "$@"; }
LND_CHAIN() { printf '%s' "$NODE/lnd/data/chain/bitcoin/$NETWORK"; }

# lnd_api METHOD PATH [BODY FILE]: LND's REST API. The macaroon goes in by stdin: in the arguments every user could read it.
lnd_api() {
  local macaroon
  macaroon="$(LND_CHAIN)/admin.macaroon"
  if [ -r "$macaroon" ]; then printf 'Grpc-Metadata-macaroon: %s\n' "$(od -An -v -tx1 "$macaroon" | tr -d ' \n')"; fi |
    curl --silent --show-error --noproxy '*' --max-time 20 --cacert "$NODE/lnd/tls.cert" -X "$1" ${3:+--data-binary "@$3"} -H @- \
      "https://127.0.0.1:$LND_REST_PORT$2"
}
lnd_state() { lnd_api GET /v1/state 2>/dev/null | json_value state; }

# lnbits_api METHOD PATH HEADER [BODY FILE]: LNbits' API. The header, which holds a key, goes in by stdin.
lnbits_api() {
  printf '%s\n' "$3" | curl --silent --show-error --noproxy '*' --max-time 20 -X "$1" ${4:+--data-binary "@$4"} \
    -H 'Content-Type: application/json' -H @- "http://127.0.0.1:$LNBITS_PORT$2"
}
# The three digits LNbits' health check answers with; 000 when nobody does.
lnbits_status() {
  curl --silent --noproxy '*' --max-time 5 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$LNBITS_PORT/api/v1/health" 2>/dev/null || true
}

# wait_for WHAT COMMAND…: asks once a second, at most TIMEOUT seconds.
wait_for() {
  local what=$1 waited=0; shift
  until "$@" >/dev/null 2>&1; do
    waited=$((waited + 1))
    [ "$waited" -le "$TIMEOUT" ] || die "waited $TIMEOUT s for $what in vain; see the logs in $NODE/logs, then run ${0##*/} again: it goes on from here"
    [ $((waited % 30)) -ne 0 ] || note "still waiting for $what ($waited s)"
    sleep 1
  done
}
