import { z } from "zod";
import type { BtcPriceSource } from "./port.ts";
import { LEAST_USD, MOST_USD } from "./price.rules.ts";

const usdPrice = z.number().min(LEAST_USD).max(MOST_USD);
const decimal = z.string().regex(/^\d+(\.\d+)?$/);
const MAX_BODY_BYTES = 64 * 1024;

const COINGECKO = z.object({ bitcoin: z.object({ usd: usdPrice }) });
const COINBASE = z.object({
  data: z.object({
    amount: decimal,
    base: z.literal("BTC"),
    currency: z.literal("USD"),
  }),
});

/** `c` is the last trade: its price and its size. Kraken asks for XBTUSD and answers XXBTZUSD. */
const KRAKEN = z.object({
  error: z.array(z.unknown()).length(0),
  result: z.record(z.string().regex(/^X?XBTZ?USD$/), z.object({ c: z.tuple([decimal], z.unknown()) })),
});

interface SourceOptions {
  /** The whole address; answers must have the source's shape. */
  url: string;
  fetch?: typeof fetch;
}

/** CoinGecko's simple price: `{"bitcoin":{"usd":97123.4}}`. */
export function coingecko(options: SourceOptions): BtcPriceSource {
  return {
    name: "coingecko",
    fetchUsd: async (signal) => COINGECKO.parse(await getJson(options, signal)).bitcoin.usd,
  };
}

/** Coinbase's spot price: `{"data":{"amount":"97123.40","base":"BTC","currency":"USD"}}`. */
export function coinbase(options: SourceOptions): BtcPriceSource {
  return {
    name: "coinbase",
    fetchUsd: async (signal) => usdPrice.parse(Number(COINBASE.parse(await getJson(options, signal)).data.amount)),
  };
}

/** Kraken's ticker: `{"error":[],"result":{"XXBTZUSD":{"c":["97123.4","0.1"]}}}`. */
export function kraken(options: SourceOptions): BtcPriceSource {
  return {
    name: "kraken",
    async fetchUsd(signal) {
      const pairs = Object.values(KRAKEN.parse(await getJson(options, signal)).result);
      if (pairs.length !== 1) throw new Error(`the price source named ${pairs.length} pairs where one was asked for`);
      return usdPrice.parse(Number(pairs[0]?.c[0]));
    },
  };
}

/** A small JSON body of a 200. Redirects are refused: a price comes from the host that was configured. */
async function getJson(options: SourceOptions, signal: AbortSignal): Promise<unknown> {
  const response = await (options.fetch ?? fetch)(options.url, {
    signal,
    redirect: "error",
    headers: { accept: "application/json" },
  });
  try {
    if (response.status !== 200) throw new Error(`the price source answered ${response.status}`);
    return JSON.parse(await readText(response.body));
  } finally {
    await response.body?.cancel().catch(() => {});
  }
}

async function readText(body: ReadableStream<Uint8Array> | null): Promise<string> {
  if (!body) throw new Error("the price source answered nothing");
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > MAX_BODY_BYTES) throw new Error(`the price source answered more than ${MAX_BODY_BYTES} bytes`);
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    reader.releaseLock();
  }
}
