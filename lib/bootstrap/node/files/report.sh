#!/usr/bin/env bash
# Tells the instance that sold this node that it has booted: its SSH host keys, where LNbits is, what runs. The report is signed by a key
# made here, and the token it is sent with is taken once. Exits 0 only when the instance has taken it; it may be run again until then.
set -euo pipefail

ROOT="${NODE_ROOT:-}"
STATE="$ROOT/var/lib/timmy-node"
# shellcheck source=/dev/null
. "$ROOT/opt/timmy-node/node.env"

fail() { printf 'report: %s\n' "$*" >&2; exit 1; }

# tailscale_name: the node's name in its tailnet, or nothing.
tailscale_name() { tailscale status --json 2>/dev/null | jq -r '.Self.DNSName // "" | rtrimstr(".")' 2>/dev/null || true; }

container_state() { docker inspect -f '{{.State.Status}}' "$1" 2>/dev/null || echo absent; }
unit_state() { systemctl is-active "$1" 2>/dev/null || true; }

host_keys() {
  local file found=1
  for file in "$ROOT"/etc/ssh/ssh_host_*_key.pub; do
    [ -f "$file" ] || continue
    awk '$1 ~ /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-)/ { print $1 " " $2 }' "$file"
    found=0
  done
  return "$found"
}

main() {
  local work key tailnet lnbits answer status
  umask 077
  mkdir -p "$STATE"
  key="$STATE/report-key"
  [ -s "$key" ] || ssh-keygen -q -t ed25519 -N '' -C '' -f "$key"
  work=$(mktemp -d "$STATE/report.XXXXXX")
  # shellcheck disable=SC2064 # the folder of this run
  trap "rm -rf '$work'" EXIT

  host_keys >"$work/host-keys" || fail "the node has no SSH host keys yet"
  tailnet=$(tailscale_name)
  lnbits=http://127.0.0.1:5000
  if [ -n "$tailnet" ]; then lnbits="http://$tailnet:5000"; fi
  jq -cn --arg at "$(date -u +%FT%TZ)" --rawfile keys "$work/host-keys" --rawfile nodeKey "$key.pub" --arg tailnet "$tailnet" \
    --arg lnbits "$lnbits" --arg bitcoin "$(unit_state timmy-bitcoind.service)" --arg lnd "$(container_state lnd)" \
    --arg lnbitsState "$(container_state lnbits)" '{
      at: $at,
      sshHostKeys: ($keys | split("\n") | map(select(. != ""))),
      nodeKey: ($nodeKey | split(" ")[0:2] | map(rtrimstr("\n")) | join(" ")),
      tailscaleHostname: (if $tailnet == "" then null else $tailnet end),
      lnbitsUrl: $lnbits,
      services: ({ bitcoin: $bitcoin, lnd: $lnd, lnbits: $lnbitsState } | map_values(if . == "" then "unknown" else . end))
    }' | tr -d '\n' >"$work/body"
  ssh-keygen -q -Y sign -f "$key" -n timmy-first-boot "$work/body"

  # The token stands in a file, not in the list of arguments that every process here can read.
  printf 'Authorization: Bearer %s\nX-Timmy-Signature: %s\nContent-Type: application/json\n' "$TIMMY_REPORT_TOKEN" \
    "$(base64 -w 0 "$work/body.sig")" >"$work/headers"
  status=$(curl --silent --show-error --max-time 60 --output "$work/answer" --write-out '%{http_code}' -H "@$work/headers" \
    --data-binary "@$work/body" "$TIMMY_REPORT_URL") || fail "$TIMMY_REPORT_URL does not answer"
  case "$status" in
    2??) printf 'report: taken (%s)\n' "$status" ;;
    *)
      answer=$(head -c 300 "$work/answer" 2>/dev/null | tr -cd '[:print:]' || true)
      fail "refused with $status: $answer"
      ;;
  esac
}

main
