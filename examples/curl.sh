#!/usr/bin/env bash
# L402 by hand: ask, get a bill (402), pay it, ask again with the receipt, read the answer as it is written.
#
#   bash examples/curl.sh [http://127.0.0.1:8080]
#
# Step 2 stands in for a wallet: with a real one you would pay $INVOICE and it would show you the preimage.
set -euo pipefail
T=${1:-${TIMMY_URL:-http://127.0.0.1:8080}}
field() { node -pe 'JSON.parse(require("fs").readFileSync(0, "utf8"))'"$1"; }
challenge=$(mktemp) && bill=$(mktemp) && trap 'rm -f "$challenge" "$bill"' EXIT

MODEL=$(curl -fsS "$T/api/v1/models" | field '.data[0].id')
BODY='{"model": "'$MODEL'", "stream": true, "max_tokens": 300,
  "messages": [{"role": "user", "content": "What is a hold invoice?"}]}'

# 1. Without a token: 402, and how to pay in the first WWW-Authenticate line.
curl -sS -D "$challenge" -o "$bill" "$T/api/v1/chat/completions" -H 'content-type: application/json' -d "$BODY"
head -n 1 "$challenge" | grep ' 402' || { cat "$bill" && exit 1; }
MACAROON=$(sed -n 's/.* macaroon="\([^"]*\)".*/\1/p' "$challenge")
INVOICE=$(sed -n 's/.* invoice="\([^"]*\)".*/\1/p' "$challenge")
echo "Invoice of $(field .error.details.invoice.amountSats <"$bill") sats: ${INVOICE:0:40}…"

# 2. Pay. The preimage is the receipt.
HASH=$(field .error.details.invoice.paymentHash <"$bill")
PREIMAGE=$(curl -fsS -X POST "$T/api/dev/stub/pay/$HASH" | field .preimage)

# 3. The same request with the token. It goes on working until the session is empty.
curl -fsSN "$T/api/v1/chat/completions" -H 'content-type: application/json' \
  -H "Authorization: L402 $MACAROON:$PREIMAGE" -d "$BODY" |
  node -e 'require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
    if (!line.startsWith("data: {")) return; // a blank, a comment, or [DONE]
    const { choices, timmy, error } = JSON.parse(line.slice("data: ".length));
    if (error) throw new Error(error.message);
    process.stdout.write(choices[0]?.delta.content ?? "");
    if (timmy) console.log(`\nIt cost ${timmy.debitedSats} sats; ${timmy.balanceSats} are left.`);
  })'
