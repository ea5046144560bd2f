/** A helper with a simulated TEE behind it: stand-in-helper.ts SOCKET. It says that it listens, and that it is simulated. */
import { answerLine, MAX_QUESTION, parseQuestion, readLine, writeAll } from "../helper-protocol.ts";
import { simulatedTee } from "./simulated-tee.ts";

const [path = ""] = Deno.args;
const { attestor } = await simulatedTee();
const listener = Deno.listen({ transport: "unix", path });
await writeAll(Deno.stdout, "listening\n");
for await (const connection of listener) {
  const question = parseQuestion(await readLine(connection, MAX_QUESTION) ?? "");
  const quote = question && await attestor.quote(question);
  await writeAll(connection, answerLine(quote ?? { error: "not understood" }));
  connection.close();
}
