import type { Values } from "./env.ts";

/** As lib/bootstrap/node has it. */
const MIN_NODE_GB = 60;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/;

/** What is wrong although each variable by itself is fine. */
export function contradictions(v: Partial<Values>): string[] {
  const found: string[] = [];
  if ((v.LNBITS_URL === undefined) !== (v.LNBITS_API_KEY === undefined)) {
    found.push("LNBITS_URL and LNBITS_API_KEY belong together: set both or neither");
  }
  if (v.LNBITS_ADMIN_KEY !== undefined && v.LNBITS_URL === undefined) found.push("LNBITS_ADMIN_KEY needs LNBITS_URL");
  if (v.AI_INTEGRATIONS_ANTHROPIC_BASE_URL !== undefined && v.AI_INTEGRATIONS_ANTHROPIC_API_KEY === undefined) {
    found.push(
      "AI_INTEGRATIONS_ANTHROPIC_BASE_URL needs AI_INTEGRATIONS_ANTHROPIC_API_KEY: without it models are simulated",
    );
  }
  if (v.LOCAL_MODEL_API_KEY !== undefined && v.LOCAL_MODEL_BASE_URL === undefined) {
    found.push("LOCAL_MODEL_API_KEY needs LOCAL_MODEL_BASE_URL: without it no local model is asked");
  }
  if (v.KV_URL !== undefined && v.DENO_KV_ACCESS_TOKEN === undefined) found.push("KV_URL needs DENO_KV_ACCESS_TOKEN");
  if (v.BACKUP_DIR !== undefined && v.KV_URL !== undefined) {
    found.push("BACKUP_DIR backs up the database in DATA_DIR, and KV_URL names another: leave one out");
  }
  for (const name of ["EVAL_MODEL", "WORK_MODEL"] as const) {
    if (v[name]?.startsWith("local/") && v.LOCAL_MODEL_BASE_URL === undefined) {
      found.push(`${name} is a local model: set LOCAL_MODEL_BASE_URL to the server that has it`);
    }
  }
  if (v.SHORT_MAX_CHARS !== undefined && v.MEDIUM_MAX_CHARS !== undefined && v.SHORT_MAX_CHARS > v.MEDIUM_MAX_CHARS) {
    found.push("SHORT_MAX_CHARS must not be larger than MEDIUM_MAX_CHARS");
  }
  found.push(...sessionContradictions(v));
  if (v.METRICS_PUSH_TOKEN !== undefined && v.METRICS_PUSH_URL === undefined) {
    found.push("METRICS_PUSH_TOKEN needs METRICS_PUSH_URL");
  }
  const simulatedMoney = !realParts(v).wallet;
  for (const name of ["LNBITS_WEBHOOK_URL", "LNBITS_DEV_PAYER_KEY"] as const) {
    if (v[name] !== undefined && simulatedMoney) found.push(`${name} needs LNBITS_URL`);
  }
  if (v.NODE_ENV === "production" && simulatedMoney) {
    found.push("NODE_ENV is production and no Lightning wallet is set: set LNBITS_URL and LNBITS_API_KEY");
  }
  if ((v.TAILSCALE_API_KEY === undefined) !== (v.TAILSCALE_TAILNET === undefined)) {
    found.push("TAILSCALE_API_KEY and TAILSCALE_TAILNET belong together: set both or neither");
  }
  if (v.DO_VOLUME_SIZE_GB !== undefined && v.DO_VOLUME_SIZE_GB > 0 && v.DO_VOLUME_SIZE_GB < MIN_NODE_GB) {
    found.push(`DO_VOLUME_SIZE_GB must be 0 or at least ${MIN_NODE_GB}: a node's data need that much`);
  }
  const { wallet, model } = realParts(v);
  if (v.DO_API_TOKEN !== undefined && !wallet && v.HOST !== undefined && !onlyHere({ ...v, HOST: v.HOST })) {
    found.push(
      "HOST or PUBLIC_ORIGIN is not loopback while DO_API_TOKEN is set and Lightning is simulated: anyone could have machines made " +
        "with pretended sats. Set LNBITS_URL and LNBITS_API_KEY, or HOST=127.0.0.1",
    );
  }
  if (model && !wallet && v.HOST !== undefined && !onlyHere({ ...v, HOST: v.HOST })) {
    found.push(
      "HOST or PUBLIC_ORIGIN is not loopback while a real model is set and Lightning is simulated: anyone could spend your model " +
        "budget with pretended sats. Set LNBITS_URL and LNBITS_API_KEY, or HOST=127.0.0.1",
    );
  }
  return found;
}

function sessionContradictions(v: Partial<Values>): string[] {
  const found: string[] = [];
  const [min, max] = [v.SESSION_MIN_DEPOSIT_SATS, v.SESSION_MAX_DEPOSIT_SATS];
  if (min !== undefined && max !== undefined && min > max) {
    found.push("SESSION_MIN_DEPOSIT_SATS must not be larger than SESSION_MAX_DEPOSIT_SATS");
  }
  if (min !== undefined && v.SESSION_MIN_BALANCE_SATS !== undefined && v.SESSION_MIN_BALANCE_SATS > min) {
    found.push(
      "SESSION_MIN_BALANCE_SATS must not be larger than SESSION_MIN_DEPOSIT_SATS: a new session would be paused",
    );
  }
  const tiers = [v.TRUST_ESTABLISHED, v.TRUST_TRUSTED, v.TRUST_ELITE];
  if (tiers.some((score, i) => i > 0 && score !== undefined && score <= (tiers[i - 1] ?? 0))) {
    found.push("TRUST_ESTABLISHED, TRUST_TRUSTED and TRUST_ELITE must rise in this order");
  }
  const asked = v.L402_DEPOSIT_SATS;
  if (asked !== undefined && min !== undefined && max !== undefined && (asked < min || asked > max)) {
    found.push("L402_DEPOSIT_SATS must lie between SESSION_MIN_DEPOSIT_SATS and SESSION_MAX_DEPOSIT_SATS");
  }
  if (v.CHAT_MODELS?.some((name) => name.startsWith("local/")) && v.LOCAL_MODEL_BASE_URL === undefined) {
    found.push("CHAT_MODELS names a local model: set LOCAL_MODEL_BASE_URL to the server that has it");
  }
  return found;
}

/** What is real: the one place that decides it. A model is real as soon as a server is set that answers, with a key or without. */
export function realParts(v: Partial<Values>): { wallet: boolean; model: boolean } {
  return {
    wallet: v.LNBITS_URL !== undefined,
    model: v.AI_INTEGRATIONS_ANTHROPIC_API_KEY !== undefined || v.LOCAL_MODEL_BASE_URL !== undefined,
  };
}

/** Nobody but this machine is meant to reach the program. */
export function onlyHere(v: Pick<Values, "HOST"> & Partial<Values>): boolean {
  return LOOPBACK.test(v.HOST) && (v.PUBLIC_ORIGIN === undefined || LOOPBACK.test(new URL(v.PUBLIC_ORIGIN).hostname));
}
