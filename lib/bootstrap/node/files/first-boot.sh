#!/usr/bin/env bash
# Makes the node, step by step. Started by timmy-node.service at every boot until the last step is done: a step that is done is not
# done again, one that was cut off begins again, and each may run any number of times.
set -euo pipefail
# shellcheck source=/dev/null
. "${NODE_ROOT:-}/opt/timmy-node/lib.sh"
export DEBIAN_FRONTEND=noninteractive

CREDENTIALS="${NODE_ROOT:-}/root/node-credentials.txt"
TAILSCALE_KEY=2596A99EAAB33821893C0A79458CA832957F5868

# The commands that are needed, each with the package it comes from.
step_packages() {
  local pair missing=()
  for pair in curl:curl jq:jq openssl:openssl ufw:ufw docker:docker.io gpg:gnupg mkfs.ext4:e2fsprogs blkid:util-linux \
    ssh-keygen:openssh-client; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair#*:}")
  done
  if [ "${#missing[@]}" -gt 0 ]; then
    apt-get -o DPkg::Lock::Timeout=600 update -qq
    apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "${missing[@]}"
  fi
  wait_for 120 "Docker" docker info
}

# step_secrets: all are there before the first is used.
step_secrets() {
  local name
  for name in bitcoin-rpc-password lnd-wallet-password lnbits-auth-secret lnbits-first-install-token lnbits-superuser-password; do
    secret "$name" >/dev/null
  done
}

step_firewall() {
  ufw --force default deny incoming
  ufw --force default allow outgoing
  ufw allow 22/tcp
  ufw allow 9735/tcp
  ufw --force enable
}

# The key that signs Tailscale's packages is taken only with the fingerprint that is known here.
install_tailscale() {
  local keyring="${NODE_ROOT:-}/usr/share/keyrings/tailscale-archive-keyring.gpg" system codename
  # shellcheck source=/dev/null
  . "${NODE_ROOT:-}/etc/os-release"
  system=${ID:?} codename=${VERSION_CODENAME:?}
  curl --silent --show-error --fail --location --retry 5 --max-time 60 -o "$keyring" \
    "https://pkgs.tailscale.com/stable/$system/$codename.noarmor.gpg"
  if ! gpg --show-keys --with-colons "$keyring" | awk -F: '$1 == "pub" { primary = 1 } $1 == "fpr" && primary { print $10; primary = 0 }' |
    grep -qx "$TAILSCALE_KEY"; then
    rm -f "$keyring"
    die "the key of Tailscale's packages is not $TAILSCALE_KEY"
  fi
  printf 'deb [signed-by=%s] https://pkgs.tailscale.com/stable/%s %s main\n' "$keyring" "$system" "$codename" \
    >"${NODE_ROOT:-}/etc/apt/sources.list.d/tailscale.list"
  apt-get -o DPkg::Lock::Timeout=600 update -qq
  apt-get -o DPkg::Lock::Timeout=600 install -y -qq tailscale
}

step_tailscale() {
  [ -n "$TIMMY_TAILSCALE_AUTH_KEY" ] || return 0
  command -v tailscale >/dev/null 2>&1 || install_tailscale
  if ! tailscale_name >/dev/null; then
    printf '%s' "$TIMMY_TAILSCALE_AUTH_KEY" | write_secret "$SECRETS/tailscale-auth-key"
    tailscale up --auth-key="file:$SECRETS/tailscale-auth-key" --hostname="$TIMMY_NODE_NAME" --timeout=120s
  fi
  wait_for 60 "a name in the tailnet" tailscale_name
  rm -f "$SECRETS/tailscale-auth-key"
}

# step_volume: the volume's own file system is used; one is made only where there is nothing at all.
step_volume() {
  [ -n "$TIMMY_VOLUME_NAME" ] || return 0
  local device="${NODE_ROOT:-}/dev/disk/by-id/scsi-0DO_Volume_$TIMMY_VOLUME_NAME" fstab="${NODE_ROOT:-}/etc/fstab" kind uuid
  wait_for 120 "the volume $TIMMY_VOLUME_NAME" test -e "$device"
  kind=$(blkid -p -o value -s TYPE "$device" || true)
  if [ -z "$kind" ]; then
    # A partition table, a RAID member or an encrypted disk has no TYPE that can be mounted, but it is not blank either.
    [ -z "$(wipefs --no-act --noheadings "$device")" ] || die "the volume $TIMMY_VOLUME_NAME is not blank: it is left as it is"
    mkfs.ext4 -q -m 1 -L timmy-node "$device"
    kind=ext4
  fi
  case "$kind" in ext4 | xfs) ;; *) die "the volume $TIMMY_VOLUME_NAME holds $kind: it is left as it is" ;; esac
  uuid=$(blkid -p -o value -s UUID "$device")
  [ -n "$uuid" ] || die "the volume $TIMMY_VOLUME_NAME has no UUID"
  if ! grep -q " $DATA " "$fstab"; then
    printf 'UUID=%s %s %s defaults,nofail,discard,noatime,x-systemd.device-timeout=120s 0 2\n' "$uuid" "$DATA" "$kind" >>"$fstab"
  fi
  # Docker waits for the volume, or its containers would be started before it is mounted and stay down.
  mkdir -p "$DATA" "${NODE_ROOT:-}/etc/systemd/system/docker.service.d"
  printf '[Unit]\nRequiresMountsFor=%s\n' "$DATA" >"${NODE_ROOT:-}/etc/systemd/system/docker.service.d/timmy-volume.conf"
  systemctl daemon-reload
  mountpoint -q "$DATA" || mount "$DATA"
}

# bitcoin_conf: pruned by the size of the disk, a quarter of the memory for its cache; the RPC password stands in it only as a salted hash.
bitcoin_conf() {
  local salt hash password
  password=$(secret bitcoin-rpc-password)
  salt=$(openssl rand -hex 16)
  hash=$(printf '%s' "$password" | openssl dgst -sha256 -hmac "$salt" | sed 's/.* //')
  cat <<CONF
server=1
daemon=0
listen=0
prune=$TIMMY_PRUNE_MIB
dbcache=$(awk '/^MemTotal:/ { mib = int($2 / 4096); print (mib < 300 ? 300 : (mib > 4096 ? 4096 : mib)) }' "${NODE_ROOT:-}/proc/meminfo")
rpcbind=127.0.0.1
rpcallowip=127.0.0.1
rpcauth=timmy:$salt\$$hash
zmqpubrawblock=tcp://127.0.0.1:28332
zmqpubrawtx=tcp://127.0.0.1:28333
CONF
}

step_bitcoin() {
  install_bitcoin
  id bitcoin >/dev/null 2>&1 || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin bitcoin
  mkdir -p "$DATA/bitcoin"
  # Written once: another salt would only make bitcoind's configuration differ from the one it runs with.
  [ -s "$DATA/bitcoin/bitcoin.conf" ] || bitcoin_conf | write_secret "$DATA/bitcoin/bitcoin.conf"
  chown -R bitcoin:bitcoin "$DATA/bitcoin"
  printf 'user = "timmy:%s"\n' "$(secret bitcoin-rpc-password)" | write_secret "$SECRETS/bitcoin-rpc.curl"
  systemctl daemon-reload
  systemctl enable timmy-bitcoind.service
  systemctl start timmy-bitcoind.service
  wait_for 900 "Bitcoin's RPC" bitcoin_rpc getblockchaininfo
}

# lnd_conf: LND reads its wallet's password from a file, so it unlocks itself at every start; before there is a wallet it waits for one.
lnd_conf() {
  cat <<CONF
[Application Options]
alias=$TIMMY_NODE_NAME
listen=0.0.0.0:9735
restlisten=127.0.0.1:8080
rpclisten=127.0.0.1:10009
tlsdisableautofill=true
tlscertduration=87600h
wallet-unlock-password-file=/root/.lnd/wallet.password
wallet-unlock-allow-create=true
adminmacaroonpath=/root/.lnd/admin.macaroon

[Bitcoin]
bitcoin.mainnet=true
bitcoin.node=bitcoind

[Bitcoind]
bitcoind.rpchost=127.0.0.1:8332
bitcoind.rpcuser=timmy
bitcoind.rpcpass=$(secret bitcoin-rpc-password)
bitcoind.zmqpubrawblock=tcp://127.0.0.1:28332
bitcoind.zmqpubrawtx=tcp://127.0.0.1:28333
CONF
}

wait_for_lnd() { wait_for 600 "LND's REST" lnd_state_is "NON_EXISTING|LOCKED|UNLOCKED|RPC_ACTIVE|SERVER_ACTIVE"; }

step_lnd() {
  mkdir -p "$DATA/lnd"
  chmod 700 "$DATA/lnd"
  printf '%s' "$(secret lnd-wallet-password)" | write_secret "$DATA/lnd/wallet.password"
  lnd_conf | write_secret "$DATA/lnd/lnd.conf"
  run_lnd
  wait_for_lnd
}

# step_wallet: the seed is on the disk before LND is told of it: cut off in between, the same wallet is made from it.
step_wallet() {
  wait_for_lnd # after a reboot in the middle it is only just coming up
  if lnd_state_is NON_EXISTING; then
    if [ ! -s "$SECRETS/lnd-seed.json" ]; then
      lnd_rest GET /v1/genseed </dev/null | jq -ce '.cipher_seed_mnemonic | select(length == 24)' | write_secret "$SECRETS/lnd-seed.json"
      [ -s "$SECRETS/lnd-seed.json" ] || die "LND gave no seed"
    fi
    jq -c --rawfile password "$DATA/lnd/wallet.password" '{wallet_password: ($password | @base64), cipher_seed_mnemonic: .}' \
      "$SECRETS/lnd-seed.json" | lnd_rest POST /v1/initwallet >/dev/null
  fi
  wait_for 300 "LND's wallet" lnd_state_is "UNLOCKED|RPC_ACTIVE|SERVER_ACTIVE"
}

# step_macaroon: LNbits gets one that can receive and pay, and nothing else: whoever takes LNbits over cannot empty the wallet's
# on-chain coins, close channels or make further macaroons.
step_macaroon() {
  local wanted='{"permissions":[{"entity":"info","action":"read"},{"entity":"offchain","action":"read"},{"entity":"offchain","action":"write"},{"entity":"invoices","action":"read"},{"entity":"invoices","action":"write"}]}'
  wait_for 300 "admin.macaroon" test -s "$DATA/lnd/admin.macaroon"
  printf 'Grpc-Metadata-macaroon: %s\n' "$(od -An -v -tx1 "$DATA/lnd/admin.macaroon" | tr -d ' \n')" | write_secret "$SECRETS/lnd-macaroon.header"
  wait_for 1800 "LND to answer with its macaroon" lnd_rest GET /v1/getinfo
  mkdir -p "$DATA/lnd-for-lnbits"
  printf '%s' "$wanted" | lnd_rest POST /v1/macaroon | jq -er .macaroon | write_secret "$DATA/lnd-for-lnbits/hex"
  [ -s "$DATA/lnd-for-lnbits/hex" ] || die "LND made no macaroon for LNbits"
}

# lnbits_env: LNbits tries LND again for 16 hours; by default it gives up after four tries and runs without a wallet. (Its pause doubles
# each time up to a minute, and it computes 2^tries for it: from 1,024 tries on that is more than it can.)
lnbits_env() {
  cat <<ENV
HOST=127.0.0.1
PORT=5000
LNBITS_HOST=127.0.0.1
LNBITS_PORT=5000
LNBITS_DATA_FOLDER=/app/data
LNBITS_EXTENSIONS_PATH=/app/data
LNBITS_ADMIN_UI=true
LNBITS_ALLOW_NEW_ACCOUNTS=false
LNBITS_SITE_TITLE=$TIMMY_NODE_NAME
AUTH_HTTPS_ONLY=false
AUTH_SECRET_KEY=$(secret lnbits-auth-secret)
FIRST_INSTALL_TOKEN=$(secret lnbits-first-install-token)
FORWARDED_ALLOW_IPS=127.0.0.1
FUNDING_SOURCE_MAX_RETRIES=1000
LNBITS_BACKEND_WALLET_CLASS=LndRestWallet
LND_REST_ENDPOINT=https://127.0.0.1:8080/
LND_REST_CERT=/lnd/tls.cert
LND_REST_MACAROON=$(cat "$DATA/lnd-for-lnbits/hex")
ENV
}

lnbits_call() { # lnbits_call METHOD PATH: a body comes on stdin
  local header=()
  if [ -f "$SECRETS/lnbits-token.header" ]; then header=(-H "@$SECRETS/lnbits-token.header"); fi
  curl --silent --show-error --fail-with-body --noproxy '*' --max-time 60 -X "$1" -H 'Content-Type: application/json' \
    "${header[@]}" --data-binary @- "$LNBITS_URL$2"
}

# step_lnbits: its superuser's password is set before anybody else can set it, and a first wallet is made.
step_lnbits() {
  mkdir -p "$DATA/lnbits"
  chmod 700 "$DATA/lnbits"
  cp "$DATA/lnd/tls.cert" "$DATA/lnd-for-lnbits/tls.cert"
  lnbits_env | write_secret "$SECRETS/lnbits.env"
  run_lnbits
  wait_for 900 "LNbits" lnbits_answers
  if [ ! -s "$SECRETS/lnbits-wallet.json" ]; then
    rm -f "$SECRETS/lnbits-token.header"
    {
      jq -cn --rawfile password "$SECRETS/lnbits-superuser-password" --rawfile token "$SECRETS/lnbits-first-install-token" \
        '($password | rtrimstr("\n")) as $password | {username: "superuser", $password, password_repeat: $password,
          first_install_token: ($token | rtrimstr("\n"))}' | lnbits_call PUT /api/v1/auth/first_install ||
        jq -cn --rawfile password "$SECRETS/lnbits-superuser-password" '{username: "superuser", password: ($password | rtrimstr("\n"))}' |
        lnbits_call POST /api/v1/auth
    } | jq -er '.access_token // empty' | tail -n 1 | sed 's/^/Authorization: Bearer /' | write_secret "$SECRETS/lnbits-token.header"
    printf '%s' '{"name":"node"}' | lnbits_call POST /api/v1/wallet | jq -ce '{id, adminkey, inkey} | select(.adminkey)' |
      write_secret "$SECRETS/lnbits-wallet.json"
    rm -f "$SECRETS/lnbits-token.header"
    [ -s "$SECRETS/lnbits-wallet.json" ] || die "LNbits made no wallet"
  fi
  if [ -n "$TIMMY_TAILSCALE_AUTH_KEY" ]; then
    timeout 60 tailscale serve --bg --tcp=5000 tcp://127.0.0.1:5000
  fi
}

step_credentials() {
  local where="on the node only: ssh -L 5000:127.0.0.1:5000 root@<address of this node>, then http://127.0.0.1:5000"
  if [ -n "$TIMMY_TAILSCALE_AUTH_KEY" ]; then where="http://$(tailscale_name):5000 (in your tailnet)"; fi
  write_secret "$CREDENTIALS" <<TEXT
$TIMMY_NODE_NAME: made on this node at its first boot, known to nobody else. Copy it to a safe place, then delete it here.

Lightning seed (24 words; with the channel backup it brings your money back):
$(jq -r 'to_entries | map("\(.key + 1). \(.value)") | join("  ")' "$SECRETS/lnd-seed.json")
Lightning wallet password: $(cat "$SECRETS/lnd-wallet-password")
Lightning admin macaroon: $DATA/lnd/admin.macaroon

LNbits: $where
LNbits superuser password: $(cat "$SECRETS/lnbits-superuser-password")
LNbits wallet admin key: $(jq -r .adminkey "$SECRETS/lnbits-wallet.json")
LNbits wallet invoice key: $(jq -r .inkey "$SECRETS/lnbits-wallet.json")

Bitcoin RPC: 127.0.0.1:8332, user timmy, password $(cat "$SECRETS/bitcoin-rpc-password")

What you can do here: bash /opt/timmy-node/ops.sh help
TEXT
}

# step_report: the last try is shown, so that its reason stands in the journal.
step_report() {
  TIMMY_WAIT_PAUSE=${TIMMY_WAIT_PAUSE:-15} wait_for 300 "the report to be taken" bash "$OPT/report.sh" || bash "$OPT/report.sh"
}

main() {
  local step
  umask 022
  mkdir -p "$STATE/steps" "$SECRETS" "$DATA"
  chmod 700 "$STATE" "$SECRETS"
  for step in packages secrets firewall tailscale volume bitcoin lnd wallet macaroon lnbits credentials report; do
    if [ -e "$STATE/steps/$step" ]; then continue; fi
    say "$step: begins"
    "step_$step"
    date -u +%FT%TZ >"$STATE/steps/$step"
    say "$step: done"
  done
  say "the node is made"
}

# A test that sources this file calls the steps one by one.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then main; fi
