/** Somebody who types answers. Null: there will be no more (end of input). */
export interface Terminal {
  /** Shows `prompt` and reads a line. */
  line(prompt: string): Promise<string | null>;
  /** The same without showing what is typed. */
  secret(prompt: string): Promise<string | null>;
}

const CTRL_C = "\x03";
const CTRL_D = "\x04";
const BACKSPACE = /[\x7f\b]/;
/** What a terminal stops a program with (128 + SIGINT). */
const INTERRUPTED = 130;

/** The terminal of this process, or null where nobody types. */
export function thisTerminal(): Terminal | null {
  if (!Deno.stdin.isTerminal() || !Deno.stdout.isTerminal()) return null;
  const decoder = new TextDecoder();
  const piece = new Uint8Array(4_096);
  let ahead = "";
  const show = (text: string) => void Deno.stdout.writeSync(new TextEncoder().encode(text));

  /** The next character, or null at the end. What came with it waits for the next call. */
  function next(): string | null {
    while (ahead === "") {
      const length = Deno.stdin.readSync(piece);
      if (length === null) return null;
      ahead = decoder.decode(piece.subarray(0, length), { stream: true });
    }
    const [char = ""] = ahead;
    ahead = ahead.slice(char.length);
    return char;
  }

  function typed(): string | null {
    let text = "";
    for (let char = next();; char = next()) {
      if (char === CTRL_C) {
        Deno.stdin.setRaw(false);
        show("\n");
        Deno.exit(INTERRUPTED);
      }
      if (char === null || (char === CTRL_D && text === "")) return text === "" ? null : text;
      if (char === "\r" || char === "\n") return text;
      if (BACKSPACE.test(char)) text = [...text].slice(0, -1).join("");
      else if (char >= " ") text += char;
    }
  }

  return {
    line(prompt) {
      show(prompt);
      return Promise.resolve(typed());
    },
    secret(prompt) {
      // Before the prompt: whoever sees it may already be pasting.
      Deno.stdin.setRaw(true);
      show(prompt);
      try {
        return Promise.resolve(typed());
      } finally {
        Deno.stdin.setRaw(false);
        show("\n");
      }
    },
  };
}
