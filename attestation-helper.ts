/**
 * The attestation helper: a program of its own, since Deno opens `/sys` and `/dev` only with every permission, which the server must
 * not have. It takes one line (64 bytes of report data in hex), asks the hardware and answers one line, and knows nothing else: no key,
 * no data folder, no network.
 *
 *   attestation-helper                  one question from standard input: for a socket unit with Accept=yes (scripts/systemd)
 *   attestation-helper --listen PATH    a Unix socket of its own, for where there is no systemd
 */
import { parseArgs } from "node:util";
import { TSM_FOLDER, tsmQuote } from "@/lib/attestation/configfs-tsm.ts";
import { answerLine, MAX_QUESTION, parseQuestion, readLine, writeAll } from "@/lib/attestation/helper-protocol.ts";
import { NSM_DEVICE, nsmQuote } from "@/lib/attestation/nitro-nsm.ts";
import type { Quote } from "@/lib/attestation/port.ts";

/** A question must have arrived by then (ms). */
const QUESTION_MS = 2_000;

interface Channel {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
}

/** Reads a question and answers it; a fault of the hardware is an answer too. */
async function serveOne(channel: Channel, folder: string): Promise<void> {
  const line = await readLine(channel, MAX_QUESTION);
  const reportData = line === null ? null : parseQuestion(line);
  const answer = reportData ? await quoteOrError(reportData, folder) : { error: "the question is not understood" };
  await writeAll(channel, answerLine(answer));
}

async function quoteOrError(reportData: Uint8Array, folder: string): Promise<Quote | { error: string }> {
  try {
    if (await exists(folder)) return await tsmQuote(reportData, { folder });
    if (await exists(NSM_DEVICE)) return nsmQuote(reportData);
    return { error: `this machine has neither ${folder} nor ${NSM_DEVICE}: it is no TEE` };
  } catch (error) {
    return { error: `${(error as Error).name}: ${(error as Error).message}` };
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** One question after another, as the hardware takes them; a caller that says nothing is left after two seconds. */
async function listen(path: string, folder: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path); // a socket that a killed helper left
  const listener = Deno.listen({ transport: "unix", path });
  await writeAll(Deno.stdout, `listening on ${path}\n`);
  for await (const connection of listener) {
    const timer = setTimeout(() => connection.close(), QUESTION_MS);
    try {
      await serveOne(connection, folder);
      clearTimeout(timer);
      connection.close();
    } catch {
      clearTimeout(timer); // the caller left, or was left
    }
  }
}

if (import.meta.main) {
  const options = { listen: { type: "string" }, tsm: { type: "string", default: TSM_FOLDER } } as const;
  const { values } = parseArgs({ args: Deno.args, options });
  if (values.listen !== undefined) await listen(values.listen, values.tsm);
  else {
    setTimeout(() => Deno.exit(1), QUESTION_MS);
    const input = { read: (into: Uint8Array) => Deno.stdin.read(into) };
    await serveOne({ ...input, write: (bytes) => Deno.stdout.write(bytes) }, values.tsm);
    Deno.exit(0);
  }
}
