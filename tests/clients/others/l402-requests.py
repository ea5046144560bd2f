# needs: l402-requests==0.9.0
"""An agent that pays by itself: what is refused costs nothing, one payment is used up, the next tops the same session up."""
import os

import httpx
from l402_requests import L402Client, WalletBase


class Wallet(WalletBase):
    async def pay_invoice(self, bolt11):
        async with httpx.AsyncClient() as http:
            return (await http.post(os.environ["TIMMY_WALLET"], content=bolt11)).raise_for_status().json()["preimage"]


def paid_sats():
    return httpx.get(os.environ["TIMMY_WALLET"]).json()["paidSats"]


URL = os.environ["TIMMY_URL"] + "/api/v1/chat/completions"
MODEL = os.environ["TIMMY_MODEL"]
# Without its own limit of 1,000 sats, so that only the instance keeps it from paying in vain.
client = L402Client(wallet=Wallet(), budget=None, timeout=60)


def ask(content, **more):
    return client.post(URL, json={"model": MODEL, "messages": [{"role": "user", "content": content}], **more})


before = paid_sats()
assert client.post(URL, json={}).status_code == 400 and paid_sats() == before
assert ask("hi", model="a-model-of-tomorrow").status_code == 404 and paid_sats() == before, "paid for an unknown model"
assert ask("word " * 400_000).status_code == 413 and paid_sats() == before, "paid for what is too long"
for content, more in (("hi", {"max_tokens": 20_000}), ("word " * 120_000, {})):
    before, answer = paid_sats(), ask(content, **more)
    assert answer.status_code == 200 or paid_sats() == before, f"paid for and then refused: {answer.text}"

client = L402Client(wallet=Wallet(), timeout=60)
question = "What is a hold invoice? " * 400
before, balance = paid_sats(), 0
top_ups = 0
while top_ups < 2:
    answer = ask(question)
    assert answer.status_code == 200, f"{answer.status_code} {answer.headers.get('www-authenticate')}: {answer.text}"
    account, paid = answer.json()["timmy"], paid_sats() - before
    before += paid
    top_ups += balance > 0 and paid > 0
    # What was left is not lost: it is in the balance beside what was paid.
    assert account["balanceSats"] == balance + paid - account["debitedSats"], (balance, paid, account)
    balance = account["balanceSats"]
