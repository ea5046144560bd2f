import assert from "node:assert/strict";
import type { BtcPriceSource } from "./port.ts";
import { coinbase, coingecko, kraken } from "./sources.ts";

const MAX_BODY_BYTES = 64 * 1024;

/** What the real services answer, field for field. */
const COINGECKO_BODY = `{"bitcoin":{"usd":97123.4}}`;
const COINBASE_BODY = `{"data":{"amount":"97123.405","base":"BTC","currency":"USD"}}`;

const KRAKEN_BODY =
  `{"error":[],"result":{"XXBTZUSD":{"a":["97123.50000","1","1.000"],"c":["97123.40000","0.10000000"],"v":["1","2"]}}}`;

/** Runs `test` against a local server that answers each request with `handler`. */
async function withServer(
  handler: (request: Request) => Response | Promise<Response>,
  test: (url: string) => Promise<void>,
): Promise<void> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handler);
  try {
    await test(`http://127.0.0.1:${server.addr.port}/price?x=1`);
  } finally {
    await server.shutdown();
  }
}

const json = (body: string, status = 200) =>
  new Response(body, { status, headers: { "content-type": "application/json" } });

function ask(source: BtcPriceSource): Promise<number> {
  return source.fetchUsd(new AbortController().signal);
}

Deno.test("coingecko: reads the price out of its answer, from the address as given", async () => {
  let asked = "";
  await withServer((request) => {
    asked = new URL(request.url).pathname + new URL(request.url).search;
    return json(COINGECKO_BODY);
  }, async (url) => assert.equal(await ask(coingecko({ url })), 97123.4));
  assert.equal(asked, "/price?x=1");
});

Deno.test("coinbase: reads the price out of its answer", async () => {
  await withServer(() => json(COINBASE_BODY), async (url) => assert.equal(await ask(coinbase({ url })), 97123.405));
});

Deno.test("kraken: reads the last trade's price out of its answer", async () => {
  await withServer(() => json(KRAKEN_BODY), async (url) => assert.equal(await ask(kraken({ url })), 97123.4));
});

const UNUSABLE: [string, (url: string) => BtcPriceSource, string][] = [
  ["the other source's shape", (url) => coingecko({ url }), COINBASE_BODY],
  ["a price of nothing", (url) => coingecko({ url }), `{"bitcoin":{"usd":0}}`],
  ["a negative price", (url) => coingecko({ url }), `{"bitcoin":{"usd":-97123}}`],
  ["a price too large to be one", (url) => coingecko({ url }), `{"bitcoin":{"usd":1e10}}`],
  ["an infinite price", (url) => coingecko({ url }), `{"bitcoin":{"usd":1e999}}`],
  ["a price as text", (url) => coingecko({ url }), `{"bitcoin":{"usd":"97123.4"}}`],
  ["no price", (url) => coingecko({ url }), `{"bitcoin":{}}`],
  ["no object", (url) => coingecko({ url }), `null`],
  ["a page instead of JSON", (url) => coingecko({ url }), `<html>busy</html>`],
  ["nothing", (url) => coingecko({ url }), ``],
  ["the other source's shape", (url) => coinbase({ url }), COINGECKO_BODY],
  ["an empty amount", (url) => coinbase({ url }), `{"data":{"amount":"","base":"BTC","currency":"USD"}}`],
  ["an amount in hexadecimal", (url) => coinbase({ url }), `{"data":{"amount":"0x10","base":"BTC","currency":"USD"}}`],
  ["an amount of nothing", (url) => coinbase({ url }), `{"data":{"amount":"0.00","base":"BTC","currency":"USD"}}`],
  ["another currency", (url) => coinbase({ url }), `{"data":{"amount":"97123.4","base":"BTC","currency":"EUR"}}`],
  ["an error", (url) => kraken({ url }), `{"error":["EGeneral:Too many requests"]}`],
  ["an error beside a price", (url) => kraken({ url }), KRAKEN_BODY.replace("[]", `["EService:Busy"]`)],
  ["no pair", (url) => kraken({ url }), `{"error":[],"result":{}}`],
  ["another pair", (url) => kraken({ url }), KRAKEN_BODY.replace("XXBTZUSD", "XETHZUSD")],
  ["another currency", (url) => kraken({ url }), KRAKEN_BODY.replace("XXBTZUSD", "XXBTZEUR")],
  ["two pairs", (url) => kraken({ url }), `{"error":[],"result":{"XXBTZUSD":{"c":["1e5"]},"XBTUSD":{"c":["9"]}}}`],
  ["a price as a number", (url) => kraken({ url }), `{"error":[],"result":{"XXBTZUSD":{"c":[97123.4,"0.1"]}}}`],
  ["a price of nothing", (url) => kraken({ url }), `{"error":[],"result":{"XXBTZUSD":{"c":["0.0","0.1"]}}}`],
  ["a price out of range", (url) => kraken({ url }), `{"error":[],"result":{"XXBTZUSD":{"c":["999999999","1"]}}}`],
  ["a price out of range", (url) => coingecko({ url }), `{"bitcoin":{"usd":999999999}}`],
  ["a price below the range", (url) => coinbase({ url }), COINBASE_BODY.replace("97123.405", "999.99")],
  ["another coin", (url) => coinbase({ url }), `{"data":{"amount":"97123.4","base":"ETH","currency":"USD"}}`],
];

Deno.test("sources: an answer that is no price in dollars is refused", async () => {
  for (const [what, source, body] of UNUSABLE) {
    await withServer(() => json(body), async (url) => {
      await assert.rejects(ask(source(url)), `${source(url).name}: ${what}`);
    });
  }
});

Deno.test("sources: any status but 200 is refused, whatever its body says", async () => {
  for (const status of [201, 203, 404, 429, 500, 503]) {
    await withServer(() => json(COINGECKO_BODY, status), async (url) => {
      await assert.rejects(ask(coingecko({ url })), { message: `the price source answered ${status}` });
    });
  }
});

Deno.test("sources: a redirect is not followed", async () => {
  for (const status of [301, 302, 307, 308]) {
    let followed = false;
    await withServer((request) => {
      if (new URL(request.url).pathname !== "/elsewhere") {
        return new Response(null, { status, headers: { location: "/elsewhere" } });
      }
      followed = true;
      return json(COINGECKO_BODY);
    }, async (url) => await assert.rejects(ask(coingecko({ url }))));
    assert.equal(followed, false, String(status));
  }
});

Deno.test("sources: an answer is read to 64 KiB and no further", async () => {
  const padded = (bytes: number) => COINGECKO_BODY + " ".repeat(bytes - COINGECKO_BODY.length);
  await withServer(() => json(padded(MAX_BODY_BYTES)), async (url) => {
    assert.equal(await ask(coingecko({ url })), 97123.4);
  });
  await withServer(() => json(padded(MAX_BODY_BYTES + 1)), async (url) => {
    await assert.rejects(ask(coingecko({ url })), { message: /more than 65536 bytes/ });
  });
});

Deno.test("sources: an answer without end is cut off, and its connection closed", async () => {
  const closed = Promise.withResolvers<void>();
  const endless = () =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(16 * 1024).fill(32)),
        cancel: () => closed.resolve(),
      }),
    );
  await withServer(endless, async (url) => {
    await assert.rejects(ask(coingecko({ url })), { message: /more than 65536 bytes/ });
    await closed.promise;
  });
});

Deno.test("sources: a small answer that unpacks to a large one is cut off too", async () => {
  const packed = await new Response(
    new Blob([COINGECKO_BODY + " ".repeat(4_000_000)]).stream().pipeThrough(new CompressionStream("gzip")),
  ).arrayBuffer();
  assert.ok(packed.byteLength < MAX_BODY_BYTES);
  await withServer(() => new Response(packed, { headers: { "content-encoding": "gzip" } }), async (url) => {
    await assert.rejects(ask(coingecko({ url })), { message: /more than 65536 bytes/ });
  });
});

Deno.test("sources: the signal ends a call that waits for its answer", async () => {
  const reached = Promise.withResolvers<void>();
  const release = Promise.withResolvers<Response>();
  await withServer(() => {
    reached.resolve();
    return release.promise;
  }, async (url) => {
    const abort = new AbortController();
    const refused = assert.rejects(coingecko({ url }).fetchUsd(abort.signal));
    await reached.promise;
    abort.abort();
    await refused;
    release.resolve(new Response());
  });
});

Deno.test("sources: the signal ends a call in the middle of its answer, and closes the connection", async () => {
  const begun = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const half = () =>
    new Response(
      new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode(`{"bitcoin":`));
          begun.resolve();
        },
        cancel: () => closed.resolve(),
      }),
    );
  await withServer(half, async (url) => {
    const abort = new AbortController();
    const refused = assert.rejects(coingecko({ url }).fetchUsd(abort.signal));
    await begun.promise;
    abort.abort();
    await refused;
    await closed.promise;
  });
});

Deno.test("sources: a server that is not there is an error, not a hang", async () => {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response());
  const url = `http://127.0.0.1:${server.addr.port}/`;
  await server.shutdown();
  await assert.rejects(ask(coinbase({ url })));
});
