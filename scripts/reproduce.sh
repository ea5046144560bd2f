#!/bin/sh
# Makes the binaries of a published release again, from the source, and compares them: scripts/reproduce.sh FOLDER [REPOSITORY]
#
#   FOLDER      holds what was published: SHA256SUMS and SHA256SUMS.minisig (binaries are not needed)
#   REPOSITORY  where the source comes from (default: the one this script lies in)
#
# DENO names deno of the version that the release was made with (provenance.json says which). DENORT_BIN and DENORT_BIN_AARCH64 name
# its base programs; without them deno downloads its own. ARCHS names the architectures to make (default: x86_64 aarch64).
# TIMEOUT is how long one binary may take (seconds, default 600). Exit code: 0 the same bytes, 1 other ones, 2 not understood.
set -eu
fail() { echo "reproduce.sh: $2" >&2; exit "$1"; }
[ $# -ge 1 ] && [ $# -le 2 ] || fail 2 "usage: reproduce.sh FOLDER [REPOSITORY]"
published=$1
root=$(cd "$(dirname "$0")/.." && pwd)
repository=${2:-$root}
deno=${DENO:-deno}
archs=${ARCHS:-x86_64 aarch64}
sums=$published/SHA256SUMS
[ -f "$sums" ] || fail 2 "there is no $sums"
[ -f "$sums.minisig" ] || fail 2 "there is no $sums.minisig: it names the commit"

commit=$(sed -n 's/^trusted comment: timmy [^ ]* commit \([0-9a-f]\{40\}\).*/\1/p' "$sums.minisig")
[ -n "$commit" ] || fail 2 "the trusted comment of $sums.minisig names no commit"
key=$(sed -n 's/.*minisign: "\(RW[^"]*\)".*/\1/p' "$root/lib/release/release-key.ts" | head -n 1)
if command -v minisign >/dev/null 2>&1; then
  minisign -Vqm "$sums" -P "$key" || fail 1 "the signature of SHA256SUMS is not of the key $key"
else
  echo "minisign is not here: the signature is not checked, only the bytes"
fi
made_with=$(tr -d ' \n' <"$published/provenance.json" 2>/dev/null | sed -n 's/.*"name":"deno","version":"\([^"]*\)".*/\1/p')
have=$("$deno" --version | sed -n 's/^deno \([^ ]*\).*/\1/p')
[ -z "$made_with" ] || [ "$have" = "$made_with" ] || fail 2 "it was made with Deno $made_with; $deno is $have: set DENO"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
git clone --quiet --no-hardlinks "$repository" "$work/source"
git -C "$work/source" checkout --quiet "$commit" || fail 2 "$repository has no commit $commit"
# A cache of its own, empty: nothing comes from this machine but deno.
DENO_DIR=$work/cache
export DENO_DIR
different=0
compared=0
for arch in $archs; do
  case $arch in
  x86_64) base=${DENORT_BIN:-} ;;
  aarch64) base=${DENORT_BIN_AARCH64:-} ;;
  *) fail 2 "there is no release for $arch" ;;
  esac
  for program in timmy timmyctl; do
    read -r sum name <<EOF
$(grep -E "  $program-[^ ]*-$arch-linux\$" "$sums")
EOF
    [ -n "$name" ] || fail 2 "SHA256SUMS lists no $program for $arch"
    (
      if [ -n "$base" ]; then export DENORT_BIN="$base"; else unset DENORT_BIN; fi
      TIMMY_PROGRAM=$program timeout "${TIMEOUT:-600}" \
        sh "$work/source/scripts/compile.sh" "$work/$name" --target "$arch-unknown-linux-gnu"
    )
    made=$(sha256sum "$work/$name" | cut -d ' ' -f 1)
    rm -f "$work/$name"
    compared=$((compared + 1))
    if [ "$made" = "$sum" ]; then
      echo "same       $made  $name"
    else
      echo "DIFFERENT  $made  $name (published: $sum)"
      different=$((different + 1))
    fi
  done
done
echo "$compared made from commit $commit, $different different"
[ "$different" -eq 0 ]
