# shellcheck shell=bash disable=SC2034
# The three ways out, and what each shows of you. Sourced after services.sh. $NODE/tunnel holds the kind and the port.

# find_tunnel: TUNNEL (empty when there is none), TUNNEL_RUNNING and TUNNEL_URL.
find_tunnel() {
  local port name
  TUNNEL='' TUNNEL_URL='' TUNNEL_RUNNING=''
  if [ ! -f "$NODE/tunnel" ]; then return 0; fi
  read -r TUNNEL port <"$NODE/tunnel"
  TUNNEL_RUNNING=false
  case "$TUNNEL" in
    tailscale | tailnet)
      name=$(tailscale status --json 2>/dev/null | json_value DNSName || true)
      if [ -n "$name" ]; then TUNNEL_URL="https://${name%.}"; fi
      if tailscale "$(tailscale_verb "$TUNNEL")" status 2>/dev/null | grep "127.0.0.1:$port" >/dev/null; then TUNNEL_RUNNING=true; fi ;;
    *)
      if service_running tunnel; then TUNNEL_RUNNING=true; fi
      # Each start gets another address, and the log is appended to: the last one counts.
      TUNNEL_URL=$({ grep -oE 'https://[a-z0-9-]+\.trycloudflare\.com|bore\.pub:[0-9]+' "$NODE/logs/tunnel.log" 2>/dev/null || true; } | awk 'END { print }') ;;
  esac
}
tailscale_verb() { if [ "$1" = tailnet ]; then echo serve; else echo funnel; fi; }

reveals() { # reveals KIND PORT
  case "$1" in
    tailscale) cat <<'TEXT'
Tailscale Funnel: everybody on the internet can open this address. It carries the name of this machine and of your tailnet, and the
certificate for it is published in a public log, so the name can be found without being told. Tailscale passes the encrypted
connection on and cannot read it; it sees who connects and when. Your own address at home stays hidden.
TEXT
      ;;
    tailnet) cat <<'TEXT'
Tailscale, your own tailnet only: the devices of your tailnet can open this address, nobody else. The name of this machine and of the
tailnet is published in a public log of certificates all the same. Tailscale sees which devices connect.
TEXT
      ;;
    cloudflared) cat <<'TEXT'
Cloudflare Tunnel (quick tunnel): everybody who knows or guesses the address can open it. Cloudflare ends the encryption: it can read
every request and answer, your LNbits keys and invoices with them. It sees the address of this machine at home; visitors do not. The address
changes at each start.
TEXT
      ;;
    bore) cat <<'TEXT'
bore: everybody who tries the ports of bore.pub finds it, and there is NO encryption: whoever runs bore.pub, and everybody on the way, can
read and change every request and answer, keys included. bore.pub sees the address of this machine at home. The port changes at each start.
TEXT
      ;;
  esac
  if [ "$2" = "$LNBITS_PORT" ]; then cat <<'TEXT'
What is behind it is LNbits. LNbits tells an invoice's preimage to anybody who knows its payment hash, paid or not, and its
login page is then open to guessing. Timmy on this machine does not need it: expose Timmy instead (--port), or only your tailnet (--private).
TEXT
  fi
}
