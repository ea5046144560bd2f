# shellcheck shell=bash
# Sourced by first-boot.sh and ops.sh. Every path begins with $NODE_ROOT, which is empty on a node and names another root in tests.
# The order's values are in node.env; what ops.sh update chose later, in pins.env, wins over them.

OPT="${NODE_ROOT:-}/opt/timmy-node"
STATE="${NODE_ROOT:-}/var/lib/timmy-node"
SECRETS="$STATE/secrets"
DATA="${NODE_ROOT:-}/srv/timmy-node"
BITCOIN_HOME="${NODE_ROOT:-}/opt/bitcoin"

# All of these listen on 127.0.0.1; only Lightning's own port is open to the world.
BITCOIN_RPC=http://127.0.0.1:8332/
LND_REST=https://127.0.0.1:8080
LNBITS_URL=http://127.0.0.1:5000

# shellcheck source=/dev/null
. "$OPT/node.env"
# shellcheck source=/dev/null
if [ -f "$OPT/pins.env" ]; then . "$OPT/pins.env"; fi

say() { printf '%s %s\n' "$(date -u +%FT%TZ)" "$*"; }
die() { printf 'timmy-node: %s\n' "$*" >&2; exit 1; }

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; after SECONDS it says what did not come, and fails.
wait_for() {
  local seconds=$1 what=$2 began=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $((SECONDS - began)) -ge "$seconds" ]; then
      printf 'timmy-node: waited %s s for %s\n' "$seconds" "$what" >&2
      return 1
    fi
    sleep "${TIMMY_WAIT_PAUSE:-2}"
  done
}

# write_secret FILE: what comes in becomes FILE, whole or not at all, for root only.
write_secret() {
  local file=$1
  (
    umask 077
    cat >"$file.new"
    sync "$file.new" 2>/dev/null || true
    mv "$file.new" "$file"
  )
}

# secret NAME: makes it when it is not there yet, 24 random bytes in hex, and prints it. (LNbits takes passwords of 50 characters at most.)
secret() {
  if [ ! -s "$SECRETS/$1" ]; then
    openssl rand -hex 24 | write_secret "$SECRETS/$1"
  fi
  cat "$SECRETS/$1"
}

# bitcoin_rpc METHOD: prints the result as JSON; fails when there is none. The password stays out of the argument list.
bitcoin_rpc() {
  curl --silent --fail --noproxy '*' --max-time 30 --config "$SECRETS/bitcoin-rpc.curl" -H 'Content-Type: application/json' \
    --data "{\"jsonrpc\":\"1.0\",\"id\":\"node\",\"method\":\"$1\",\"params\":[]}" "$BITCOIN_RPC" | jq -e .result
}

# lnd_rest METHOD PATH: a body comes on stdin (none: </dev/null). Prints the answer; fails on any status but 2xx.
lnd_rest() {
  local header=()
  if [ -f "$SECRETS/lnd-macaroon.header" ]; then header=(-H "@$SECRETS/lnd-macaroon.header"); fi
  local body=()
  if [ "$1" != GET ]; then body=(--data-binary @-); fi
  curl --silent --show-error --fail-with-body --noproxy '*' --max-time 60 --cacert "$DATA/lnd/tls.cert" -X "$1" \
    "${header[@]}" "${body[@]}" "$LND_REST$2"
}

lnd_state() { lnd_rest GET /v1/state </dev/null | jq -er .state; }
lnd_state_is() { case "|$1|" in *"|$(lnd_state)|"*) ;; *) return 1 ;; esac; }

lnbits_answers() { curl --silent --fail --noproxy '*' --max-time 10 -o /dev/null "$LNBITS_URL/api/v1/health"; }

tailscale_name() {
  local name
  name=$(tailscale status --json 2>/dev/null | jq -r '.Self.DNSName // "" | rtrimstr(".")') || return 1
  # jq takes no input for success.
  [ -n "$name" ] && printf '%s\n' "$name"
}

# container NAME IMAGE ARGUMENT...: one container of this name runs this image on the host's network. On that network nothing is
# published around the firewall, and what listens on 127.0.0.1 inside does so outside. A mount whose source is missing (the volume is
# not there) is an error, where a volume would start an empty node.
container() {
  local name=$1 image=$2
  shift 2
  if [ "$(docker inspect -f '{{.Config.Image}}' "$name" 2>/dev/null)" = "$image" ]; then
    docker start "$name" >/dev/null
    return
  fi
  docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image"
  docker stop "$name" >/dev/null 2>&1 || true
  docker rm "$name" >/dev/null 2>&1 || true
  docker run --detach --name "$name" --network host --restart unless-stopped --log-opt max-size=20m --log-opt max-file=3 \
    "$@" "$image" >/dev/null
}

# LND needs minutes to end cleanly when it is busy; killed sooner it may have to rescan.
run_lnd() { # run_lnd [IMAGE]
  container lnd "${1:-$TIMMY_LND_IMAGE}" --stop-timeout 300 --mount "type=bind,src=$DATA/lnd,dst=/root/.lnd"
}

run_lnbits() { # run_lnbits [IMAGE]
  container lnbits "${1:-$TIMMY_LNBITS_IMAGE}" --stop-timeout 30 --env-file "$SECRETS/lnbits.env" \
    --mount "type=bind,src=$DATA/lnbits,dst=/app/data" --mount "type=bind,src=$DATA/lnd-for-lnbits,dst=/lnd,readonly"
}

# install_bitcoin: the release that is pinned for this machine, into $BITCOIN_HOME-<checksum>; $BITCOIN_HOME points to it.
install_bitcoin() {
  local url sum archive target
  case "$(uname -m)" in
    x86_64) url=$TIMMY_BITCOIN_URL_X86_64 sum=$TIMMY_BITCOIN_SHA256_X86_64 ;;
    aarch64) url=$TIMMY_BITCOIN_URL_AARCH64 sum=$TIMMY_BITCOIN_SHA256_AARCH64 ;;
    *) die "no Bitcoin release is pinned for $(uname -m)" ;;
  esac
  target="$BITCOIN_HOME-${sum:0:16}"
  if [ ! -x "$target/bin/bitcoind" ]; then
    archive="$STATE/bitcoin.tar.gz"
    curl --silent --show-error --fail --location --retry 5 --max-time 1800 -o "$archive" "$url" || die "Bitcoin could not be fetched from $url"
    if ! printf '%s  %s\n' "$sum" "$archive" | sha256sum --check --status; then
      rm -f "$archive"
      die "what $url gave does not have the pinned checksum $sum"
    fi
    rm -rf "$target.new"
    mkdir -p "$target.new"
    tar -xzf "$archive" -C "$target.new" --strip-components=1 --no-same-owner
    rm -f "$archive"
    mv "$target.new" "$target"
  fi
  ln -sfn "$(basename "$target")" "$BITCOIN_HOME"
}
