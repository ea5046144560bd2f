import { type ChatInput, ModelError } from "./port.ts";

/** A conversation as the Messages API takes it; what is left out is not sent. */
export interface AnthropicConversation {
  system?: string;
  messages: { role: "user" | "assistant"; content: string }[];
  temperature?: number;
  stop_sequences?: string[];
}

/** The API's own temperature: models that know no temperature answer as with this one. */
const DEFAULT_TEMPERATURE = 1;
const MAX_TEMPERATURE = 1;

/**
 * A conversation of the port in the form of Anthropic's Messages API: system messages become one system prompt, turns
 * of the same role one turn, each joined by a blank line; a temperature of 1 is the API's own and is left out, since
 * its newer models refuse any. A blank turn of the assistant's is left out: an answer that was empty may come back as it was.
 * @throws {ModelError} `invalid` and by the request's fault, for what the API cannot do: its message names it.
 */
export function toAnthropicConversation(
  { messages, temperature, topP, seed, stop = [] }: Pick<
    ChatInput,
    "messages" | "temperature" | "topP" | "seed" | "stop"
  >,
): AnthropicConversation {
  const system: string[] = [];
  const turns: AnthropicConversation["messages"] = [];
  for (const { role, text } of messages) {
    const last = turns.at(-1);
    if (role === "assistant" && text.trim() === "") continue;
    if (role === "system") system.push(text);
    else if (last?.role === role) last.content = joined([last.content, text]);
    else turns.push({ role, content: text });
  }
  if (turns[0]?.role !== "user") {
    throw refused("the first message that is not a system message must be the user's: this model takes no other");
  }
  if (turns.some(({ content }) => content.trim() === "")) {
    throw refused("a message is blank: this model takes only messages with text");
  }
  if (temperature !== undefined && temperature > MAX_TEMPERATURE) {
    throw refused(`temperature is above ${MAX_TEMPERATURE}: this model knows 0 to ${MAX_TEMPERATURE}`);
  }
  if (topP !== undefined) throw refused("top_p is not taken by this model: leave it out");
  if (seed !== undefined) throw refused("seed is not taken by this model: leave it out");
  if (stop.some((sequence) => sequence.trim() === "")) {
    throw refused("stop holds a sequence without any visible character: this model takes none such");
  }
  const prompt = joined(system);
  return {
    ...(prompt === "" ? {} : { system: prompt }),
    messages: turns,
    ...(temperature === undefined || temperature === DEFAULT_TEMPERATURE ? {} : { temperature }),
    ...(stop.length === 0 ? {} : { stop_sequences: [...stop] }),
  };
}

/**
 * The failure for a refusal (status 400) that blames something the payer chose, read from the API's wording: some
 * models take no temperature, some no last message of the assistant's. Should the wording change, the refusal is told
 * without naming it.
 * @returns null for any other refusal.
 */
export function refusedChoice(conversation: AnthropicConversation, message: string): ModelError | null {
  if (conversation.temperature !== undefined && /temperature[`"']? (is|was|cannot|may not|must|not)\b/i.test(message)) {
    return refused("temperature is not taken by this model: leave it out");
  }
  if (conversation.messages.at(-1)?.role === "assistant" && /prefill|must end with a user/i.test(message)) {
    return refused("the last message must be the user's: this model does not continue one of the assistant's");
  }
  return null;
}

function joined(texts: string[]): string {
  return texts.filter((text) => text !== "").join("\n\n");
}

function refused(message: string): ModelError {
  return new ModelError(message, { kind: "invalid", causedByRequest: true });
}
