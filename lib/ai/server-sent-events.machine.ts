/** One event; `name` is "" where the stream named none. */
export interface ServerSentEvent {
  name: string;
  data: string;
}

interface EventParser {
  /** @returns the events that this piece of the text has completed. */
  push(text: string): ServerSentEvent[];
  /** The text is over. @returns the event whose blank line is missing, if there is one. */
  end(): ServerSentEvent[];
}

/**
 * Reads server-sent events (WHATWG HTML §9.2.6) from a text that may be cut anywhere. Ids, retry times and comments are
 * skipped. Two differences to the standard: a last event without its blank line counts, since servers forget it, and
 * an event with a name but without data is told, since `event: error` alone says enough.
 */
export function createEventParser(): EventParser {
  /** Pieces of the line that has no end yet: joined once, so that a long line in small pieces costs no more. */
  let unfinished: string[] = [];
  let afterCarriageReturn = false;
  let name = "";
  let data: string[] = [];

  const takeLine = (line: string): ServerSentEvent[] => {
    if (line === "") {
      const event = { name, data: data.join("\n") };
      const isEvent = name !== "" || data.length > 0;
      name = "";
      data = [];
      return isEvent ? [event] : [];
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") data.push(value);
    else if (field === "event") name = value;
    return [];
  };

  return {
    push(text) {
      if (text === "") return [];
      // The second half of a CRLF that was cut in the middle: its first half has ended the line already.
      const rest = afterCarriageReturn && text.startsWith("\n") ? text.slice(1) : text;
      afterCarriageReturn = rest.endsWith("\r");
      const lines = rest.split(/\r\n|\n|\r/);
      const last = lines.pop() ?? "";
      if (lines.length > 0) {
        lines[0] = unfinished.join("") + lines[0];
        unfinished = [];
      }
      if (last !== "") unfinished.push(last);
      return lines.flatMap(takeLine);
    },
    end() {
      const line = unfinished.join("");
      unfinished = [];
      return [...line === "" ? [] : takeLine(line), ...takeLine("")];
    },
  };
}
