# shellcheck shell=bash disable=SC2034
# A bitcoind made of btcd, for a machine that has no bitcoind. BTCD_BIN is the folder with btcd and btcctl.
# What bitcoind reads from its own options and configuration, in btcd's words.
for option in "$@"; do
  case "$option" in -conf=*) conf=${option#-conf=} ;; -datadir=*) data=${option#-datadir=} ;; esac
done
setting() { awk -F= -v key="$1" '$1 == key { print $2 }' "$conf"; }
port=$(setting rpcport) user=$(setting rpcuser) password=$(setting rpcpassword)
ctl() {
  (umask 077 && printf '%s\n' '[Application Options]' "rpcuser=$user" "rpcpass=$password" "rpcserver=127.0.0.1:$port" "rpccert=$data/rpc.cert" regtest=1 >"$data/btcctl.conf.$$")
  "$BTCD_BIN/btcctl" "--configfile=$data/btcctl.conf.$$" "$@"
  local code=$?
  rm -f "$data/btcctl.conf.$$"
  return $code
}
