import { finalizeEvent, generateSecretKey } from "nostr-tools/pure";
import { aim, type Bench, ms, percentile, timed } from "./measure.ts";
import { startTimmy } from "./program.ts";

const SIGN_INS = 200;
const WARM_UP = 20;

/** What a person waits for: the nonce, the signature over it, the token; each key a new one, as after a first visit. */
export const signIn: Bench = {
  name: "sign-in",
  title: `challenge → signed event → token over HTTP, idle instance on a file, ${SIGN_INS} keys one after another`,
  async run({ figure, tempDir }) {
    const timmy = await startTimmy(`${await tempDir()}/data`);
    const origin = `http://127.0.0.1:${timmy.port}`;
    const whole: number[] = [];
    const signing: number[] = [];
    const verifying: number[] = [];
    try {
      for (let i = 0; i < WARM_UP + SIGN_INS; i++) {
        const key = generateSecretKey();
        const from = performance.now();
        const { nonce } = await post(`${origin}/api/identity/challenge`);
        let event: unknown;
        const signed = await timed(() => {
          const created_at = Math.floor(Date.now() / 1_000);
          const tags = [["u", origin], ["method", "POST"]];
          event = finalizeEvent({ kind: 27_235, created_at, tags, content: String(nonce) }, key);
          return Promise.resolve();
        });
        const sent = performance.now();
        const { nostr_token } = await post(`${origin}/api/identity/verify`, { event });
        const until = performance.now();
        if (typeof nostr_token !== "string") throw new Error("no token was given");
        if (i < WARM_UP) continue;
        whole.push(until - from);
        signing.push(signed);
        verifying.push(until - sent);
      }
    } finally {
      await timmy.stop();
    }
    const p50 = percentile(whole, 0.5);
    figure("sign-in to token, p50", ms(p50), aim(p50 <= 15, "≤ 15 ms"));
    figure("sign-in to token, p95", ms(percentile(whole, 0.95)));
    figure("of which the client signs, p50", ms(percentile(signing, 0.5)));
    figure("of which verify answers, p50", ms(percentile(verifying, 0.5)), "a signature check and one durable commit");
  },
};

/** @throws unless it is answered with success. */
async function post(url: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(url, {
    method: "POST",
    ...(body !== undefined && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return await response.json();
}
