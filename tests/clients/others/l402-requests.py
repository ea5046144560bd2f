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
client = L402Client(wallet=Wallet(), timeout=60)


def ask(content, **more):
    return client.post(URL, json={"model": MODEL, "messages": [{"role": "user", "content": content}], **more})


before = paid_sats()
assert client.post(URL, json={}).status_code == 400 and paid_sats() == before
assert ask("hi", model="a-model-of-tomorrow").status_code == 404 and paid_sats() == before, "paid for an unknown model"
assert ask("a" * 600_000).status_code in (400, 413) and paid_sats() == before, "paid for what is too long"
many = ask("hi", max_tokens=20_000)
assert many.status_code == 200 or paid_sats() == before, f"20,000 tokens were paid for and then refused: {many.text}"

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
