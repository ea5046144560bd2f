/** What a server of the OpenAI protocol says about a failure. Its `message` may quote a prompt: read, never shown. */
export interface SaidError {
  /** The HTTP status that the body itself names. */
  status?: number;
  /** Codes and types, the most precise first. */
  types: string[];
  message: string;
}

/** True for an object that is neither an array nor null. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The error of a body or a frame: OpenAI's `{error: {message, type, code}}`, a bare string in `error` (TGI, LM Studio),
 * an object that is the error itself (vLLM, Mistral: `{object: "error", message}`; gateways: `{message}`, `{detail}`).
 * @returns what could be read; nothing at all for another shape.
 */
export function saidError(said: unknown): SaidError {
  const value: unknown = Array.isArray(said) ? said[0] : said; // Gemini sends a list
  if (!isRecord(value)) return { types: [], message: typeof value === "string" ? value : "" };
  const { error } = value;
  if (typeof error === "string") return { types: textsOf([value["error_type"]]), message: error };
  const about = isRecord(error) ? error : value;
  const { innererror, message, detail } = about;
  const inner = isRecord(innererror) ? innererror["code"] : undefined;
  const [status] = [about["code"], about["status"], about["status_code"]].flatMap(errorStatus);
  return {
    ...(status === undefined ? {} : { status }),
    types: textsOf([inner, about["code"], about["type"]]),
    message: typeof message === "string" ? message : detail === undefined ? "" : JSON.stringify(detail),
  };
}

/** True when an object is an error and no part of an answer, whatever the HTTP status was. */
export function isErrorObject(value: Record<string, unknown>): boolean {
  const { error, object, choices } = value;
  if (error || object === "error") return true;
  return !Array.isArray(choices) && ["message", "detail"].some((name) => value[name] !== undefined);
}

/** A status of 400 to 599, as a number or in digits; none for anything else. */
function errorStatus(value: unknown): number[] {
  const status = typeof value === "string" ? Number(value) : value;
  return typeof status === "number" && Number.isInteger(status) && status >= 400 && status < 600 ? [status] : [];
}

const textsOf = (values: unknown[]): string[] => values.filter((value) => typeof value === "string");
