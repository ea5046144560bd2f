#!/usr/bin/env bash
# What the owner of this node does every day. Run as root: bash /opt/timmy-node/ops.sh help
set -euo pipefail
# shellcheck source=/dev/null
. "${NODE_ROOT:-}/opt/timmy-node/lib.sh"

BACKUPS="${NODE_ROOT:-}/root/backups"

cmd_help() {
  cat <<'TEXT'
usage: bash /opt/timmy-node/ops.sh COMMAND

  sync                          how far Bitcoin and LND have come (the first time takes 1 to 2 weeks)
  lnd                           LND: its state, key and peers
  lnbits                        LNbits: does it answer, and how to reach it
  channels                      Lightning channels, with what can be sent and received
  balance                       coins on-chain and in channels, in sats
  backup                        write the channel backup to /root/backups; copy it off this machine
  restore-check [FILE]          would the seed and the last backup (or FILE) bring the money back?
  logs [bitcoin|lnd|lnbits|node] [LINES]
  update                        security updates of the system; starts again what is not running
  update lnd IMAGE@sha256:...   another LND (lnbits likewise), by its digest
  update bitcoin URL SHA256     another Bitcoin release for this machine, by its checksum
  help                          this text
TEXT
}

cmd_sync() {
  local chain info
  if chain=$(bitcoin_rpc getblockchaininfo 2>/dev/null); then
    jq -r '"Bitcoin: block \(.blocks) of \(.headers // .blocks), \((.verificationprogress // 1) * 10000 | floor / 100) % verified" +
      (if .pruned then ", pruned" else "" end)' <<<"$chain"
  else
    echo "Bitcoin: does not answer (see: ops.sh logs bitcoin)"
  fi
  if info=$(lnd_rest GET /v1/getinfo </dev/null 2>/dev/null); then
    jq -r '"LND: block \(.block_height // 0), " + (if .synced_to_chain then "synced to the chain" else "not synced yet" end) +
      ", " + (if .synced_to_graph then "knows the network" else "still learning the network" end)' <<<"$info"
  else
    echo "LND: does not answer (see: ops.sh lnd)"
  fi
  df -h --output=used,avail,pcent "$DATA" | awk 'NR == 2 { print "Disk: " $1 " used, " $2 " free (" $3 " full)" }'
}

cmd_lnd() {
  local state
  state=$(lnd_state 2>/dev/null) || die "LND does not answer. Its container is: $(docker inspect -f '{{.State.Status}}' lnd 2>/dev/null || echo absent)"
  echo "State: $state"
  case "$state" in
    RPC_ACTIVE | SERVER_ACTIVE)
      lnd_rest GET /v1/getinfo </dev/null | jq -r '"Version: \(.version)", "Name: \(.alias)", "Key: \(.identity_pubkey)",
        "Peers: \(.num_peers // 0)", "Channels: \(.num_active_channels // 0) active, \(.num_inactive_channels // 0) inactive, \(.num_pending_channels // 0) pending"'
      ;;
    LOCKED) echo "It unlocks itself at its start: docker restart lnd" ;;
  esac
}

cmd_lnbits() {
  if ! lnbits_answers; then
    echo "LNbits does not answer. It waits for LND; its container is: $(docker inspect -f '{{.State.Status}}' lnbits 2>/dev/null || echo absent)" >&2
    return 1
  fi
  echo "LNbits answers."
  local name
  if name=$(tailscale_name); then
    echo "In your tailnet: http://$name:5000"
  else
    echo "From your own machine: ssh -L 5000:127.0.0.1:5000 root@<this node>, then http://127.0.0.1:5000"
  fi
}

cmd_channels() {
  lnd_rest GET "/v1/channels?peer_alias_lookup=true" </dev/null | jq -r 'if (.channels | length) == 0 then "No channels yet." else
    (["PEER", "CAPACITY", "CAN SEND", "CAN RECEIVE", "ACTIVE"],
     (.channels[] | [.peer_alias // .remote_pubkey[0:20], .capacity, .local_balance, .remote_balance, (if .active then "yes" else "no" end)])) | @tsv end'
}

cmd_balance() {
  lnd_rest GET /v1/balance/blockchain </dev/null |
    jq -r '"On-chain: \(.confirmed_balance // 0) sats confirmed, \(.unconfirmed_balance // 0) unconfirmed"'
  lnd_rest GET /v1/balance/channels </dev/null |
    jq -r '"Channels: \(.local_balance.sat // 0) sats can be sent, \(.remote_balance.sat // 0) received, \(.pending_open_local_balance.sat // 0) in channels being opened"'
}

cmd_backup() {
  local file
  mkdir -p "$BACKUPS"
  chmod 700 "$BACKUPS"
  file="$BACKUPS/channels-$(date -u +%Y%m%dT%H%M%SZ).backup"
  lnd_rest GET /v1/channels/backup </dev/null | jq -er .multi_chan_backup.multi_chan_backup | base64 -d | write_secret "$file"
  [ -s "$file" ] || { rm -f "$file"; die "LND gave no backup"; }
  echo "Written: $file"
  echo "Copy it off this machine: scp root@<this node>:$file ."
  echo "It is encrypted by your seed and holds the channels there are now: make another after every channel you open."
}

cmd_restore_check() {
  local file=${1:-}
  [ -n "$file" ] || file=$(find "$BACKUPS" -name 'channels-*.backup' 2>/dev/null | sort | tail -n 1)
  [ -s "$file" ] || die "there is no backup yet: run ops.sh backup"
  base64 -w 0 "$file" | jq -cR '{multi_chan_backup: {multi_chan_backup: .}}' | lnd_rest POST /v1/channels/backup/verify >/dev/null ||
    die "LND cannot read $file with this wallet's seed"
  echo "LND can restore the channels in $file with this wallet's seed."
  if [ "$(jq length "$SECRETS/lnd-seed.json" 2>/dev/null)" = 24 ]; then
    echo "The seed's 24 words are on this node. Are they anywhere else? Without them no backup helps."
  else
    echo "The seed is not on this node (that is right once you keep it elsewhere)."
  fi
}

cmd_logs() {
  local what=${1:-node} lines=${2:-100}
  [[ $lines =~ ^[0-9]{1,6}$ ]] || die "LINES is a number"
  case "$what" in
    bitcoin) journalctl --no-pager -u timmy-bitcoind.service -n "$lines" ;;
    lnd | lnbits) docker logs --tail "$lines" "$what" ;;
    node) journalctl --no-pager -u timmy-node.service -n "$lines" ;;
    *) die "logs of what? bitcoin, lnd, lnbits or node" ;;
  esac
}

# choose NAME VALUE: one of node.env's values is another from now on.
choose() {
  local others=""
  if [ -f "$OPT/pins.env" ]; then others=$(grep -v "^$1=" "$OPT/pins.env" || true); fi
  printf '%s\n%s=%q\n' "$others" "$1" "$2" | write_secret "$OPT/pins.env"
}

# Images and releases are taken by digest only: a name alone may stand for something else tomorrow.
cmd_update() {
  local digest='^[a-z0-9./:_-]+@sha256:[0-9a-f]{64}$' architecture
  case "${1:-system}" in
    system)
      apt-get -o DPkg::Lock::Timeout=600 update -qq
      DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -y -qq upgrade
      systemctl start timmy-bitcoind.service
      run_lnd
      run_lnbits
      ;;
    lnd | lnbits)
      [[ ${2:-} =~ $digest ]] || die "name the image by its digest: ops.sh update $1 IMAGE@sha256:<64 hex digits>"
      if [ "$1" = lnd ]; then
        cmd_backup
        docker pull --quiet "$2"
        run_lnd "$2"
        choose TIMMY_LND_IMAGE "$2"
      else
        docker pull --quiet "$2"
        run_lnbits "$2"
        choose TIMMY_LNBITS_IMAGE "$2"
      fi
      ;;
    bitcoin)
      [[ ${2:-} == https://* && ${3:-} =~ ^[0-9a-f]{64}$ ]] || die "name the release: ops.sh update bitcoin https://... <64 hex digits>"
      architecture=$(uname -m | tr '[:lower:]' '[:upper:]')
      declare -g "TIMMY_BITCOIN_URL_$architecture=$2" "TIMMY_BITCOIN_SHA256_$architecture=$3"
      install_bitcoin
      choose "TIMMY_BITCOIN_URL_$architecture" "$2"
      choose "TIMMY_BITCOIN_SHA256_$architecture" "$3"
      systemctl restart timmy-bitcoind.service
      ;;
    *) die "update what? nothing (the system), lnd, lnbits or bitcoin" ;;
  esac
  echo "Updated. See: ops.sh sync"
}

main() {
  local command=${1:-help}
  [ $# -eq 0 ] || shift
  case "$command" in
    sync | lnd | lnbits | channels | balance | backup | logs | update | help) "cmd_$command" "$@" ;;
    restore-check) cmd_restore_check "$@" ;;
    -h | --help) cmd_help ;;
    *)
      cmd_help >&2
      die "there is no command '$command'"
      ;;
  esac
}

main "$@"
