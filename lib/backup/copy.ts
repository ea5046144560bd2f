/**
 * What the copying thread runs. A text, since a bundler takes no second program in. SQLite copies without a pause: in the thread that
 * serves, everybody would wait for it.
 *
 * The open transaction holds one moment of the database. Without it every commit of others would begin the copy anew, and under load it
 * would never end.
 */
const COPY = `
import { backup, DatabaseSync } from "node:sqlite";
self.onmessage = async ({ data: { from, to } }) => {
  let wrong = null;
  try {
    const live = new DatabaseSync(from, { readOnly: true });
    try {
      live.exec("BEGIN");
      live.prepare("SELECT count(*) FROM sqlite_master").get();
      await backup(live, to);
    } finally {
      live.close();
    }
    // One file, without a log beside it.
    const copy = new DatabaseSync(to);
    copy.exec("PRAGMA journal_mode = DELETE");
    copy.close();
  } catch (error) {
    wrong = error.message;
  }
  self.postMessage(wrong);
};
`;

/**
 * Copies a database at one moment, whoever writes to it meanwhile.
 * @param to a file that is not there yet
 * @throws {Deno.errors.NotFound} when there is no such database @throws when it cannot be read, or the copy not be written
 */
export async function copyDatabase(from: string, to: string): Promise<void> {
  await Deno.stat(from);
  (await Deno.open(to, { createNew: true, write: true, mode: 0o600 })).close();
  const thread = new Worker(`data:application/javascript,${encodeURIComponent(COPY)}`, { type: "module" });
  try {
    const wrong = await new Promise<string | null>((resolve) => {
      thread.onmessage = ({ data }) => resolve(data);
      thread.onerror = (event) => {
        event.preventDefault(); // else it ends the process
        resolve(event.message);
      };
      thread.postMessage({ from, to });
    });
    if (wrong !== null) throw new Error(`${from} could not be copied: ${wrong}`);
  } finally {
    thread.terminate();
  }
}
