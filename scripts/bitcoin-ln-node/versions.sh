# shellcheck shell=bash disable=SC2034
# What setup installs, by exact version and checksum. Read by lib.sh; it only sets variables and prints tables.
#
# A checksum or a key's fingerprint stands here only when two sources that have nothing to do with each other give the same
# one; both are named in its row. What has no such pair has no row, and setup refuses to download it, by name. To move to
# another version, change the version and every row of that component together.

CORE_VERSION=31.1
CORE_BASE=https://bitcoincore.org/bin/bitcoin-core-$CORE_VERSION
CORE_KEYS_BASE=https://raw.githubusercontent.com/bitcoin-core/guix.sigs/3f072b34a069b4e3a1aa42bd82070eb2f98247c8/builder-keys
# How many of the keys below must have signed the release.
CORE_MIN_SIGNATURES=3

KNOTS_VERSION=29.3.knots20260508
KNOTS_BASE=https://bitcoinknots.org/files/29.x/$KNOTS_VERSION
KNOTS_KEYS_BASE=https://raw.githubusercontent.com/bitcoin-core/guix.sigs/3f072b34a069b4e3a1aa42bd82070eb2f98247c8/builder-keys
KNOTS_MIN_SIGNATURES=1

LND_VERSION=v0.21.3-beta
LND_BASE=https://github.com/lightningnetwork/lnd/releases/download/$LND_VERSION
LND_KEYS_BASE=https://raw.githubusercontent.com/lightningnetwork/lnd/572b561bf05f03dfe6135110970c4d858c3482dc/scripts/keys
LND_MIN_SIGNATURES=2

LNBITS_VERSION=1.6.2

# component | platform | file | SHA-256 | one source | another
pins() {
  cat <<'PINS'
core|linux-x86_64|bitcoin-31.1-x86_64-linux-gnu.tar.gz|b80d9c3e04da78fb6f0569685673418cf686fadba9042d926d13fb87ff503f9e|bitcoin-core/guix.sigs 31.1/*/all.SHA256SUMS (15 builders)|bitcoin-s/bitcoin-s bitcoind-rpc/bitcoind-rpc.sbt
core|linux-aarch64|bitcoin-31.1-aarch64-linux-gnu.tar.gz|dcf1873f2208ba4f962f3398d47e154c39c0084be8f4553e05c940d0ace3d004|bitcoin-core/guix.sigs 31.1/*/all.SHA256SUMS (15 builders)|Musqet/lnd-sweeper scripts/verify-upstream-binaries.sh
core|darwin-arm64|bitcoin-31.1-arm64-apple-darwin.tar.gz|16a097c09fbd7eb78b240ce1dae123663ea2e5e377cfd6a951e71e227e23cf2f|bitcoin-core/guix.sigs 31.1/*/all.SHA256SUMS (15 builders)|bitcoin-s/bitcoin-s bitcoind-rpc/bitcoind-rpc.sbt
core|darwin-x86_64|bitcoin-31.1-x86_64-apple-darwin.tar.gz|bc506958d0f387c1ea770bdc7c7192a505fa645ff62cabcc7761fa7eb89e867e|bitcoin-core/guix.sigs 31.1/*/all.SHA256SUMS (15 builders)|bitcoin-s/bitcoin-s bitcoind-rpc/bitcoind-rpc.sbt
lnd|linux-x86_64|lnd-linux-amd64-v0.21.3-beta.tar.gz|aad62005d25bb0d974c5c1b135decc269d8f3e69ee9cde8bb6b32998100bc3fd|Musqet/lnd-sweeper scripts/verify-upstream-binaries.sh|Lore-Hex/quill-router scripts/lightning/lnd_install.py
PINS
}

# What has no pair, so that a refusal can name what it looked for: component | platform | file
unpinned() {
  cat <<'UNPINNED'
lnd|linux-aarch64|lnd-linux-arm64-v0.21.3-beta.tar.gz
lnd|darwin-arm64|lnd-darwin-arm64-v0.21.3-beta.tar.gz
lnd|darwin-x86_64|lnd-darwin-amd64-v0.21.3-beta.tar.gz
knots|linux-x86_64|bitcoin-29.3.knots20260508-x86_64-linux-gnu.tar.gz
knots|linux-aarch64|bitcoin-29.3.knots20260508-aarch64-linux-gnu.tar.gz
knots|darwin-arm64|bitcoin-29.3.knots20260508-arm64-apple-darwin.tar.gz
knots|darwin-x86_64|bitcoin-29.3.knots20260508-x86_64-apple-darwin.tar.gz
lnbits|any|lnbits-1.6.2-py3-none-any.whl
UNPINNED
}

# Who may sign a release: component | name | fingerprint of the primary key | file of the key | one source | another
signers() {
  cat <<'SIGNERS'
core|0xb10c|982A193E3CE0EED535E09023188CBB2648416AD5|0xb10c.gpg|bitcoin-core/guix.sigs builder-keys|lncm/docker-bitcoind 28.0/Dockerfile
core|Emzy|9EDAFF80E080659604F4A76B2EBB056FD847F8A7|Emzy.gpg|bitcoin-core/guix.sigs builder-keys|lncm/docker-bitcoind 28.0/Dockerfile
core|Sjors|ED9BDF7AD6A55E232E84524257FF9BDBCC301009|Sjors.gpg|bitcoin-core/guix.sigs builder-keys|lncm/docker-bitcoind 28.0/Dockerfile
core|achow101|152812300785C96444D3334D17565732E08E5E41|achow101.gpg|bitcoin-core/guix.sigs builder-keys|lncm/docker-bitcoind 28.0/Dockerfile
core|fanquake|E777299FC265DD04793070EB944D35F9AC3DB76A|fanquake.gpg|bitcoin-core/guix.sigs builder-keys|lncm/docker-bitcoind 28.0/Dockerfile
core|guggero|F4FC70F07310028424EFC20A8E4256593F177720|guggero.gpg|bitcoin-core/guix.sigs builder-keys|lncm/docker-bitcoind 28.0/Dockerfile
core|hebasto|D1DBF2C4B96F2DEBF4C16654410108112E7EA81F|hebasto.gpg|bitcoin-core/guix.sigs builder-keys|lncm/docker-bitcoind 28.0/Dockerfile
core|theStack|6A8F9C266528E25AEB1D7731C2371D91CB716EA7|theStack.gpg|bitcoin-core/guix.sigs builder-keys|lncm/docker-bitcoind 28.0/Dockerfile
core|willcl-ark|67AA5B46E7AF78053167FE343B8F814A784218F8|willcl-ark.gpg|bitcoin-core/guix.sigs builder-keys|lncm/docker-bitcoind 28.0/Dockerfile
knots|luke-jr|1A3E761F19D2CC7785C5502EA291A2C45D0C504A|luke-jr.gpg|bitcoin-core/guix.sigs builder-keys|bitcoinknots/guix.sigs builder-keys
lnd|georgetsagk|1583B601BB57CC7CD2DF8A87E08DEA9B12B66AF6|georgetsagk.asc|lightningnetwork/lnd scripts/verify-install.sh|Lore-Hex/quill-router scripts/lightning/lnd_install.py
lnd|hieblmi|32F7EA1E7A0339F7D37164B9F82D456EA023C9BF|hieblmi.asc|lightningnetwork/lnd scripts/verify-install.sh|Lore-Hex/quill-router scripts/lightning/lnd_install.py
lnd|suheb|3E9BD4436C288039CA827A9200C9E2BC2E45666F|suheb.asc|lightningnetwork/lnd scripts/verify-install.sh|Lore-Hex/quill-router scripts/lightning/lnd_install.py
SIGNERS
}
