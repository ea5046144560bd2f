import assert from "node:assert/strict";
import { parseL402 } from "@getalby/lightning-tools/402/l402";
import vectors from "@/tests/fixtures/macaroons/vectors.json" with { type: "json" };
import { challengeHeader } from "./challenge.ts";

const macaroon = vectors.timmy.base64;
const invoice = "lnbcrt5u1p5abcdefgh0qpzry9x8";

Deno.test("challengeHeader: exactly the superset every client parses, in this order", () =>
  assert.equal(
    challengeHeader({ macaroon, invoice }),
    `L402 macaroon="${macaroon}", invoice="${invoice}", version="0", token="${macaroon}"`,
  ));

Deno.test("challengeHeader: lightning-tools finds its parts, and so does the expression of Aperture's client", () => {
  const header = challengeHeader({ macaroon, invoice });
  const { token, invoice: found } = parseL402(header);
  assert.deepEqual({ token, found }, { token: macaroon, found: invoice });
  // lightninglabs/aperture, the client's interceptor
  const aperture = /(LSAT|L402) macaroon="(.*?)", invoice="(.*?)"/.exec(header);
  assert.deepEqual(aperture?.slice(1), ["L402", macaroon, invoice]);
});

Deno.test("challengeHeader: what would end its parameter is refused", () => {
  for (
    const wrong of ["", '"', `${invoice}", token="x`, `${invoice}\r\nSet-Cookie: a`, `${invoice}\n`, `${invoice} `]
  ) {
    assert.throws(() => challengeHeader({ macaroon, invoice: wrong }), RangeError, JSON.stringify(wrong));
    assert.throws(() => challengeHeader({ macaroon: wrong, invoice }), RangeError, JSON.stringify(wrong));
  }
});
