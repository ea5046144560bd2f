# shellcheck shell=bash
# Getting Bitcoin, LND and LNbits: downloaded, held against the checksum of versions.sh and against its builders' signatures, then
# unpacked under $NODE/programs. Sourced by setup, after lib.sh and versions.sh.

ALLOW_UNPINNED=' ' ALLOW_UNSIGNED=' ' FROM_BREW=' '
allowed() { case "$1" in *" $2 "*) return 0 ;; *) return 1 ;; esac; }

# of_component NAME WHAT: the variable of versions.sh, CORE_VERSION for core and VERSION
of_component() {
  local variable
  case "$1" in core) variable=CORE_$2 ;; knots) variable=KNOTS_$2 ;; lnd) variable=LND_$2 ;; lnbits) variable=LNBITS_$2 ;; esac
  printf '%s' "${!variable}"
}
version_of() { of_component "$1" VERSION; }
base_of() { of_component "$1" BASE; }
program_folder() { printf '%s' "$NODE/programs/$1-$(version_of "$1")"; }
bin_variable() { case "$1" in core | knots) printf BITCOIN_BIN ;; lnd) printf LND_BIN ;; lnbits) printf LNBITS_BIN ;; esac; }
programs_of() { case "$1" in core | knots) printf 'bitcoind bitcoin-cli' ;; lnd) printf 'lnd lncli' ;; lnbits) printf 'python' ;; esac; }
brew_name() { case "$1" in core) printf bitcoin ;; *) printf '%s' "$1" ;; esac; }

# find_pin COMPONENT: FILE and SHA of the platform's download; SHA is empty when no two sources agree on one.
find_pin() {
  FILE=$(pins | awk -F'|' -v c="$1" -v p="$PLATFORM" '$1 == c && $2 == p { print $3 }')
  SHA=$(pins | awk -F'|' -v c="$1" -v p="$PLATFORM" '$1 == c && $2 == p { print $4 }')
  [ -n "$FILE" ] || FILE=$(unpinned | awk -F'|' -v c="$1" -v p="$PLATFORM" '$1 == c && ($2 == p || $2 == "any") { print $3 }')
}
installed() { [ -e "$(program_folder "$1")/.complete" ]; }

find_python() {
  local candidate
  for candidate in python3.12 python3.11 python3.10 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; then
      PYTHON=$candidate; return 0
    fi
  done
  return 1
}
# need PROGRAM LINUX-PACKAGE BREW-PACKAGE: on a Mac, noted for Homebrew to install; on Linux, refused with the package's name.
TO_BREW=''
need() {
  if [ "$1" = python ]; then
    if find_python; then return 0; fi
  elif command -v "$1" >/dev/null 2>&1; then return 0; fi
  [ "$OS" = darwin ] || die "$1 is missing: install it (Debian, Ubuntu: sudo apt-get install -y $2; Fedora: sudo dnf install $2)"
  command -v brew >/dev/null 2>&1 || die "$1 is missing and so is Homebrew, which would install it: see https://brew.sh, or install $1 yourself"
  case " $TO_BREW " in *" $3 "*) ;; *) TO_BREW="$TO_BREW $3" ;; esac
}
install_tools() {
  local tool
  for tool in $TO_BREW; do
    would "install $tool with Homebrew" || continue
    brew install --quiet "$tool"
  done
}

refuse_unpinned() { # refuse_unpinned NAME: FILE has no checksum; says what its owner can choose instead
  local option=$1 ways check="its builders' signatures are then the only check"
  case "$1" in core | knots) option=bitcoin ;; lnbits) check="trust the Python package index alone, with versions fixed" ;; esac
  ways="  --$option-bin FOLDER    use programs that you have installed and trust"
  if [ "$OS-$1" = darwin-lnd ]; then ways="$ways
  --from-brew lnd      use what Homebrew builds and checks"; fi
  die "$1 $(version_of "$1") has no checksum here for ${FILE:-$PLATFORM} that two unrelated sources agree on, so it is not downloaded. Choose one by name:
$ways
  --allow-unpinned $1  $check"
}

# check_component NAME: everything that would refuse it later refuses it here, before the first change.
check_component() {
  local name=$1 variable version program
  variable=$(bin_variable "$name"); version=$(version_of "$name")
  if [ -n "${!variable}" ]; then
    for program in $(programs_of "$name"); do
      [ -x "${!variable}/$program" ] || die "$variable is ${!variable}, and there is no program $program in it"
    done
    return 0
  fi
  if allowed "$FROM_BREW" "$name"; then
    [ "$OS" = darwin ] || die "--from-brew $name: Homebrew is used on macOS only"
    case "$name" in core | lnd) ;; *) die "--from-brew $name: Homebrew has bitcoin (core) and lnd" ;; esac
    command -v brew >/dev/null 2>&1 || die "--from-brew $name: brew is not installed, see https://brew.sh"
    return 0
  fi
  if installed "$name"; then return 0; fi
  find_pin "$name"
  if [ -z "$SHA" ] && ! allowed "$ALLOW_UNPINNED" "$name"; then refuse_unpinned "$name"; fi
  case "$name" in
    lnbits) need python "python3 python3-venv" python@3.12 ;;
    *)
      if allowed "$ALLOW_UNSIGNED" "$name"; then
        [ -n "$SHA" ] || die "$name: without a checksum and without signatures nothing would be checked; drop --allow-unsigned $name"
      elif [ "$OS" = darwin ]; then
        need gpg gnupg gnupg
      else
        command -v gpg >/dev/null 2>&1 || die "gpg is missing, so nobody's signature on $name $version can be checked: install it (Debian, Ubuntu: sudo apt-get install -y gnupg), or go without by --allow-unsigned $name"
      fi
      need curl curl curl; need tar tar gnu-tar ;;
  esac
}

download() { # download URL FILE
  curl --fail --silent --show-error --location --proto '=https' --retry 3 --output "$2.part" "$1" || { rm -f "$2.part"; die "could not download $1"; }
  mv "$2.part" "$2"
}

# good_signers COMPONENT SIGNATURES SIGNED: the pinned fingerprints whose good signature is there. A key that has expired or was
# revoked since does not count, nor one that nobody pinned.
good_signers() {
  local fingerprints
  fingerprints=$(signers | awk -F'|' -v c="$1" '$1 == c { printf "%s ", $3 }')
  { gpg --homedir "$WORK/gnupg" --batch --status-fd 1 --verify "$2" "$3" 2>/dev/null || true; } |
    awk -v known=" $fingerprints" '$2 == "NEWSIG" { good = 0 } $2 == "GOODSIG" { good = 1 }
      $2 == "VALIDSIG" && good && index(known, " " $NF " ") && !seen[$NF]++ { print $NF }'
}
check_signatures() { # check_signatures COMPONENT: FILE lies in WORK; dies unless enough of its builders signed its checksum
  local name=$1 sums good='' keys minimum signer key count
  keys=$(of_component "$name" KEYS_BASE); minimum=$(of_component "$name" MIN_SIGNATURES)
  (umask 077 && mkdir -p "$WORK/gnupg")
  signers | awk -F'|' -v c="$name" '$1 == c { print $2, $4 }' >"$WORK/signers"
  while read -r signer key; do
    download "$keys/$key" "$WORK/$key"
    gpg --homedir "$WORK/gnupg" --batch --quiet --import "$WORK/$key" 2>/dev/null || note "the key of $signer could not be read"
  done <"$WORK/signers"
  if [ "$name" = lnd ]; then
    sums="$WORK/manifest"
    download "$(base_of lnd)/manifest-$LND_VERSION.txt" "$sums"
    while read -r signer key; do
      if curl --fail --silent --location --proto '=https' --output "$WORK/$signer.sig" "$(base_of lnd)/manifest-$signer-$LND_VERSION.sig"; then
        good="$good$(good_signers lnd "$WORK/$signer.sig" "$sums")
"
      fi
    done <"$WORK/signers"
  else
    sums="$WORK/SHA256SUMS"
    download "$(base_of "$name")/SHA256SUMS" "$sums"
    download "$(base_of "$name")/SHA256SUMS.asc" "$sums.asc"
    good=$(good_signers "$name" "$sums.asc" "$sums")
  fi
  count=$(printf '%s\n' "$good" | awk 'NF && !seen[$0]++ { n++ } END { print n + 0 }')
  [ "$count" -ge "$minimum" ] || die "$name $(version_of "$name"): $count of its known builders signed the list of checksums, $minimum are wanted; nothing was installed"
  awk -v sha="$(sha256_of "$WORK/$FILE")" -v file="$FILE" '$1 == sha && ($2 == file || $2 == "*" file) { found = 1 } END { exit !found }' "$sums" ||
    die "$FILE is not what the signed list of checksums names; nothing was installed"
  say "$name $(version_of "$name"): signed by $count known builders"
}

install_archive() {
  local name=$1 folder
  folder=$(program_folder "$name")
  find_pin "$name"
  would "download $FILE from $(base_of "$name")" || return 0
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/timmy-node.XXXXXX")
  trap 'rm -rf "$WORK"' EXIT
  download "$(base_of "$name")/$FILE" "$WORK/$FILE"
  if [ -n "$SHA" ] && [ "$(sha256_of "$WORK/$FILE")" != "$SHA" ]; then
    die "$FILE has another checksum than the pinned one ($(sha256_of "$WORK/$FILE") instead of $SHA); it was thrown away"
  fi
  if allowed "$ALLOW_UNSIGNED" "$name"; then note "$name: signatures not checked, as you asked; its checksum is the pinned one"; else check_signatures "$name"; fi
  rm -rf "$folder"; mkdir -p "$folder/bin"
  mkdir "$WORK/unpacked"
  tar -xzf "$WORK/$FILE" -C "$WORK/unpacked"
  for program in $(programs_of "$name"); do
    find "$WORK/unpacked" -type f -name "$program" -exec cp {} "$folder/bin/$program" \;
    [ -f "$folder/bin/$program" ] || die "$FILE holds no $program"
    chmod 755 "$folder/bin/$program"
  done
  touch "$folder/.complete"
  rm -rf "$WORK"; trap - EXIT
}
install_lnbits() {
  local folder
  folder=$(program_folder lnbits)
  would "install lnbits $LNBITS_VERSION from the Python package index into $folder" || return 0
  find_python || die "python 3.10, 3.11 or 3.12 with its venv module is missing"
  rm -rf "$folder"; mkdir -p "$NODE/programs"
  "$PYTHON" -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check --constraint "$HERE/lnbits-constraints.txt" "lnbits==$LNBITS_VERSION"
  touch "$folder/.complete"
}

# install_component NAME: nothing to do when it is there; one whose installation was interrupted is done again.
install_component() {
  local name=$1 variable
  variable=$(bin_variable "$name")
  if [ -n "${!variable}" ] || installed "$name"; then return 0; fi
  if allowed "$FROM_BREW" "$name"; then
    brew list --formula "$(brew_name "$name")" >/dev/null 2>&1 || { ! would "install $(brew_name "$name") with Homebrew" || brew install --quiet "$(brew_name "$name")"; }
    printf -v "$variable" '%s' "$(brew --prefix)/bin"
  elif [ "$name" = lnbits ]; then install_lnbits; else install_archive "$name"; fi
}
# use_programs: where each program is, once the settings are read.
use_programs() {
  [ -n "$BITCOIN_BIN" ] || BITCOIN_BIN="$(program_folder "$IMPLEMENTATION")/bin"
  [ -n "$LND_BIN" ] || LND_BIN="$(program_folder lnd)/bin"
  [ -n "$LNBITS_BIN" ] || LNBITS_BIN="$(program_folder lnbits)/bin"
}
