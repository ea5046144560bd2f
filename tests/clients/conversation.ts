/** What a conversation of three turns must look like on the wire, told from what was recorded. */
import type { Exchange } from "./recorder.ts";

const TURNS = 3;

interface Message {
  role: string;
  content: string | null | { text: string }[];
}
interface Body {
  stream?: boolean | null;
  messages: Message[];
  [parameter: string]: unknown;
}
interface Piece {
  choices?: { message?: { content?: string }; delta?: { content?: string | null } }[];
  timmy?: { debitedSats: number };
}

/**
 * What is wrong with a program's two conversations, one streamed and one not: nothing was refused, each turn holds what was
 * said before it, word for word, and the session was charged what the answers say.
 * @param sends what every request of it must carry; `null`: some request holds one
 * @param spentSats what its session was charged
 */
export function faultsOf(exchanges: readonly Exchange[], sends: readonly string[], spentSats: number): string[] {
  const faults = exchanges.filter(({ status }) => status !== 200).map((e) => `${e.method} ${e.path} got ${e.status}`);
  const completions = exchanges.filter(({ path, method }) => method === "POST" && path.endsWith("/chat/completions"));
  const bodies = completions.map(({ body }): Body => JSON.parse(body));
  const pieces = completions.map(({ answer }) => piecesOf(answer));
  for (const streamed of [true, false]) {
    const turns = completions.flatMap((_, i) => {
      const body = bodies[i];
      return body && (body.stream ?? false) === streamed ? [{ body, answer: textOf(pieces[i] ?? []) }] : [];
    });
    const kind = streamed ? "streamed" : "whole";
    if (turns.length !== TURNS) faults.push(`${turns.length} ${kind} answers were asked for, not ${TURNS}`);
    turns.forEach(({ body: { messages } }, i) => {
      const said = messages.filter(({ role }) => role === "assistant").map(({ content }) => plain(content));
      const expected = turns.slice(0, i).map(({ answer }) => answer);
      if (JSON.stringify(said) !== JSON.stringify(expected)) {
        faults.push(`turn ${i + 1} (${kind}) holds other answers than were given: ${JSON.stringify(said)}`);
      }
    });
  }
  for (const name of sends) {
    const there = name === "null"
      ? completions.some(({ body }) => /:\s*null\b/.test(body))
      : bodies.every((body) => (body[name] ?? null) !== null);
    if (!there) faults.push(`${name} was not sent`);
  }
  // Asked for usage, the chunk that has it says again what the last one said.
  const debited = pieces.reduce(
    (sum, answer) => sum + (answer.findLast(({ timmy }) => timmy)?.timmy?.debitedSats ?? 0),
    0,
  );
  if (debited === 0 || debited !== spentSats) {
    faults.push(`the answers say ${debited} sats, the session paid ${spentSats}`);
  }
  return faults;
}

/** The body of a whole answer, or the chunks of a streamed one. */
function piecesOf(answer: string): Piece[] {
  if (!answer.startsWith("data:") && !answer.startsWith(":")) return [JSON.parse(answer || "{}")];
  return answer.split("\n")
    .filter((line) => line.startsWith("data:") && !line.includes("[DONE]"))
    .map((line) => JSON.parse(line.slice(5)));
}

const textOf = (pieces: readonly Piece[]) =>
  pieces.map(({ choices }) => choices?.[0]?.message?.content ?? choices?.[0]?.delta?.content ?? "").join("");

const plain = (content: Message["content"]) =>
  typeof content === "string" ? content : content?.map(({ text }) => text).join("") ?? "";
