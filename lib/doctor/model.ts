import { z } from "zod";
import { LOCAL_PREFIX } from "@/lib/ai/model-name.ts";
import { type Model, ModelError } from "@/lib/ai/port.ts";
import { ask, type Heard, type Reach } from "./ask.ts";
import { error, type Finding, ok, warning } from "./finding.ts";

export interface ModelChecked {
  findings: Finding[];
  /** The names the server lists; empty when it lists none. */
  ids: string[];
  skewMs: number | null;
}

const List = z.object({ data: z.array(z.object({ id: z.string() })) });
const ANTHROPIC = "https://api.anthropic.com";
/** The version of Anthropic's API that the SDK speaks. */
const ANTHROPIC_VERSION = "2023-06-01";
const EVALUATION_MS = 30_000;

const idsOf = (heard: Heard) =>
  "silent" in heard || heard.status !== 200 ? null : List.safeParse(heard.body).data?.data.map(({ id }) => id) ?? null;
const skewOf = (heard: Heard) => "silent" in heard ? null : heard.skewMs;

/**
 * Whether Anthropic takes the key and has the models. Listing models costs nothing.
 * @param names models that are asked there
 */
export async function checkAnthropic(
  { apiKey, baseURL = ANTHROPIC }: { apiKey: string; baseURL?: string },
  names: readonly string[],
  reach: Reach,
): Promise<ModelChecked> {
  const headers = { "x-api-key": apiKey, "anthropic-version": ANTHROPIC_VERSION, accept: "application/json" };
  const get = (path: string) => ask(reach, `${baseURL}/v1/models${path}`, { headers });
  const heard = await get("?limit=1000");
  const ids = idsOf(heard);
  const said = (finding: Finding) => ({ findings: [finding], ids: ids ?? [], skewMs: skewOf(heard) });
  if ("silent" in heard) {
    return said(
      error("model", `Anthropic does not answer: ${heard.silent}`, "look at this machine's way to the network"),
    );
  }
  if ([401, 403].includes(heard.status)) {
    return said(
      error(
        "model",
        `Anthropic does not take the key in AI_INTEGRATIONS_ANTHROPIC_API_KEY (${heard.status})`,
        "make a new key at console.anthropic.com, and put it there",
      ),
    );
  }
  if (ids === null) {
    return said(
      warning(
        "model",
        `what answers does not list models (${heard.status})`,
        "look at AI_INTEGRATIONS_ANTHROPIC_BASE_URL",
      ),
    );
  }
  const findings = [ok("model", "Anthropic takes the key")];
  for (const name of new Set(names.filter((name) => !ids.includes(name)))) {
    // A list names full versions; a short name is known all the same.
    const one = await get(`/${encodeURIComponent(name)}`);
    if ("silent" in one || one.status === 200) continue;
    findings.push(
      one.status === 404
        ? error(
          "model",
          `Anthropic has no model ${name} for this key`,
          "name another in EVAL_MODEL, WORK_MODEL or CHAT_MODELS",
        )
        : warning("model", `Anthropic did not say whether it has ${name} (${one.status})`, "run timmyctl doctor again"),
    );
  }
  return { findings, ids, skewMs: skewOf(heard) };
}

/**
 * Whether a server of the OpenAI protocol answers and lists the models. Listing models costs nothing.
 * @param names models that are asked there, with `local/` before them
 */
export async function checkLocalModel(
  { baseURL, apiKey }: { baseURL: string; apiKey?: string },
  names: readonly string[],
  reach: Reach,
): Promise<ModelChecked> {
  const headers = { accept: "application/json", ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }) };
  const heard = await ask(reach, `${baseURL}/models`, { headers });
  const ids = idsOf(heard);
  const said = (...findings: Finding[]) => ({ findings, ids: ids ?? [], skewMs: skewOf(heard) });
  if ("silent" in heard) {
    return said(
      error(
        "model",
        `the local model server does not answer: ${heard.silent}`,
        "start it, and look at LOCAL_MODEL_BASE_URL: the address up to the version, such as http://127.0.0.1:11434/v1",
      ),
    );
  }
  if ([401, 403].includes(heard.status)) {
    return said(
      error("model", `the local model server does not take LOCAL_MODEL_API_KEY (${heard.status})`, "correct it"),
    );
  }
  if (ids === null) {
    return said(
      warning(
        "model",
        `what answers at LOCAL_MODEL_BASE_URL does not list models (${heard.status})`,
        "look whether the address ends with the version, such as /v1; timmyctl doctor --spend asks the model itself",
      ),
    );
  }
  const missing = [...new Set(names)].filter((name) => !ids.includes(name.slice(LOCAL_PREFIX.length)));
  return said(
    ok("model", `the local model server answers, with ${ids.length} models`),
    ...missing.map((name) =>
      warning("model", `the local model server does not list ${name}`, "some servers take any name: ask with --spend")
    ),
  );
}

/** One real evaluation: it costs what the model's provider takes for some hundred tokens. */
export async function checkEvaluation(model: Model, name: string): Promise<Finding> {
  if (model.simulated) return ok("model", "nothing to spend: the model is simulated");
  try {
    const { usage } = await model.evaluate({
      model: name,
      request: "What is a hold invoice?",
      signal: new AbortController().signal,
      deadlineMs: EVALUATION_MS,
    });
    return ok("model", `${name} evaluated a request: ${usage.inputTokens} tokens in, ${usage.outputTokens} out`);
  } catch (cause) {
    if (!(cause instanceof ModelError)) throw cause;
    return error("model", `${name} did not evaluate a request: ${cause.message}`, "look at the model's settings");
  }
}
