# shellcheck shell=bash
# The three services, and the tunnel, under systemd (of the user or of the system) or launchd. Sourced after lib.sh.

unit_name() { printf 'timmy-%s.service' "$1"; }
label_of() { printf 'timmy-node.%s' "$1"; }
service_file() {
  case "$SERVICE" in
    systemd-user) printf '%s' "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$(unit_name "$1")" ;;
    systemd-system) printf '%s' "${TIMMY_SYSTEMD_DIR:-/etc/systemd/system}/$(unit_name "$1")" ;;
    launchd) printf '%s' "$HOME/Library/LaunchAgents/$(label_of "$1").plist" ;;
  esac
}
systemd() { if [ "$SERVICE" = systemd-user ]; then systemctl --user "$@"; else systemctl "$@"; fi; }
launchd_target() { printf 'gui/%s' "$(id -u)"; }

# Restarted only after a failure: a program that was asked to stop ends with 0 and stays down.
# Ten minutes to stop, because Bitcoin writes its cache to disk first, and killing it then means checking the chain again.
service_text() {
  local after=network-online.target wanted=default.target
  case "$1" in lnd) after="$(unit_name bitcoind)" ;; lnbits | tunnel) after="$(unit_name lnd)" ;; esac
  if [ "$SERVICE" = launchd ]; then
    cat <<PLIST
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>$(label_of "$1")</string>
  <key>ProgramArguments</key>
  <array><string>$NODE/scripts/run</string><string>--home</string><string>$NODE</string><string>$1</string></array>
  <key>EnvironmentVariables</key>
  <dict><key>PATH</key><string>/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin</string></dict>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key>
  <dict><key>SuccessfulExit</key><false/></dict>
  <key>ThrottleInterval</key><integer>30</integer>
  <key>ExitTimeOut</key><integer>600</integer>
  <key>Umask</key><integer>63</integer>
  <key>StandardOutPath</key><string>$NODE/logs/$1.log</string>
  <key>StandardErrorPath</key><string>$NODE/logs/$1.log</string>
</dict>
</plist>
PLIST
    return 0
  fi
  [ "$SERVICE" != systemd-system ] || wanted=multi-user.target
  cat <<UNIT
[Unit]
Description=Timmy's node: $1
After=$after
Wants=$after
StartLimitIntervalSec=0

[Service]
ExecStart=$NODE/scripts/run --home $NODE $1
Restart=on-failure
RestartSec=30
TimeoutStopSec=600
UMask=0077
NoNewPrivileges=yes
StandardOutput=append:$NODE/logs/$1.log
StandardError=inherit
UNIT
  if [ "$SERVICE" = systemd-system ]; then
    printf '%s\n' User=timmy-node ProtectSystem=full
    # What is hidden from the service must not be where its own folder is.
    case "$NODE" in /home/* | /root/* | /run/user/*) ;; *) echo ProtectHome=yes ;; esac
    case "$NODE" in /tmp/* | /var/tmp/*) ;; *) echo PrivateTmp=yes ;; esac
  fi
  printf '\n[Install]\nWantedBy=%s\n' "$wanted"
}

# install_service NAME: writes its file, and has it started with the machine (launchd reads the folder by itself).
install_service() {
  local file before
  file=$(service_file "$1"); before=$CHANGES
  make_folder "$(dirname "$file")"
  service_text "$1" | put_outside "$file"
  case "$SERVICE" in
    systemd-*)
      if [ "$CHANGES" -ne "$before" ] && [ "$DRY_RUN" = 0 ]; then systemd daemon-reload; fi
      if ! systemd is-enabled --quiet "$(unit_name "$1")" 2>/dev/null; then
        would "start $(unit_name "$1") with the machine" || return 0
        systemd enable --quiet "$(unit_name "$1")"
      fi ;;
  esac
}
# Service files are read by the service manager, which may be another user's, so they are readable and hold no secret.
put_outside() { put "$1" 644; }

service_running() {
  case "$SERVICE" in
    systemd-*) systemd is-active --quiet "$(unit_name "$1")" ;;
    launchd) launchctl print "$(launchd_target)/$(label_of "$1")" 2>/dev/null | grep 'state = running' >/dev/null ;;
  esac
}
start_service() {
  if service_running "$1"; then return 0; fi
  would "start $1" || return 0
  case "$SERVICE" in
    systemd-*) systemd start "$(unit_name "$1")" ;;
    launchd)
      if launchctl print "$(launchd_target)/$(label_of "$1")" >/dev/null 2>&1; then
        launchctl kickstart "$(launchd_target)/$(label_of "$1")"
      else
        launchctl bootstrap "$(launchd_target)" "$(service_file "$1")"
      fi ;;
  esac
}
# end_service NAME: asks the service manager to end it, whatever its state; it sends SIGTERM, which all of them heed.
end_service() {
  case "$SERVICE" in
    systemd-*) systemd stop "$(unit_name "$1")" ;;
    launchd)
      if launchctl print "$(launchd_target)/$(label_of "$1")" >/dev/null 2>&1; then
        launchctl bootout "$(launchd_target)/$(label_of "$1")"
      fi ;;
  esac
}
service_ended() { ! service_running "$1"; }
remove_service() {
  local file
  file=$(service_file "$1")
  if [ ! -e "$file" ]; then return 0; fi
  would "remove $file" || return 0
  case "$SERVICE" in systemd-*) systemd disable --quiet "$(unit_name "$1")" || true ;; esac
  rm -f "$file" "$NODE/written/${file//\//_}"
  case "$SERVICE" in systemd-*) systemd daemon-reload ;; esac
}
