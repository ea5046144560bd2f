// deno-lint-ignore-file no-console -- a command prints
/**
 * A real Prometheus scrapes a real instance, both of this command's own and on 127.0.0.1: promtool checks the text, the rules and
 * their tests, and every expression of rules and dashboard is asked of the server. Ends within 40 s.
 *
 *   deno task monitoring        needs prometheus and promtool (apt-get install prometheus); says so and skips without
 */
import { parse } from "yaml";
import { freePort, type RunningProcess, startProcess } from "../tests/harness/process.ts";

const FOLDER = new URL("../docs/operations/monitoring/", import.meta.url).pathname;
/** All of it, the start of both processes included (ms). */
const LIMIT_MS = 40_000;
/** Figures that a healthy instance which has sold one answer must have, as queries. */
const HAS_FIGURES = [
  'up{job="timmy"} == 1',
  'timmy_ready{part="store"} == 1',
  'timmy_http_requests_total{method="POST",route="/api/jobs",status="201"} >= 1',
  'sum(timmy_model_calls_total{outcome="ok"}) >= 2',
  "histogram_quantile(0.99, sum by (le) (timmy_store_commit_seconds_bucket)) > 0",
  'timmy_payouts_total{outcome="contradicted"} == 0',
  "timmy_money_received_sats_total > 0",
  "timmy_money_wallet_sats >= timmy_money_owed_sats",
  "process_resident_memory_bytes > 1e6",
  "timmy_build_info == 1",
];

interface Answer<T> {
  status: "success" | "error";
  error?: string;
  data: T;
}
interface Targets {
  activeTargets: { health: string; lastError: string }[];
}
interface Rules {
  groups: { rules: { name: string; health: string; lastError?: string; state: string }[] }[];
}
interface Result {
  result: unknown[];
}

async function isThere(command: string): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(command, { args: ["--version"], stdout: "null", stderr: "null" })
      .output();
    return success;
  } catch {
    return false;
  }
}

/** @throws with what it said, when it is not content. */
async function promtool(args: string[], stdin = ""): Promise<void> {
  const child = new Deno.Command("promtool", { args, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(stdin));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  const said = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim()).join("\n");
  if (!success) throw new Error(`promtool ${args.join(" ")}:\n${said}`);
  console.log(`ok  promtool ${args.map((arg) => arg.replace(FOLDER, "")).join(" ")}`);
}

/** A server that scrapes `target` every second and has the rules loaded; `signal` ends it. */
async function startPrometheus(target: string, dir: string, signal: AbortSignal) {
  const config = {
    global: { scrape_interval: "1s", evaluation_interval: "1s" },
    rule_files: [`${FOLDER}rules.yml`],
    scrape_configs: [{ job_name: "timmy", static_configs: [{ targets: [target] }] }],
  };
  const file = `${dir}/prometheus.yml`;
  await Deno.writeTextFile(file, JSON.stringify(config)); // JSON is YAML
  await promtool(["check", "config", file]);
  const address = `127.0.0.1:${freePort()}`;
  const args = [`--config.file=${file}`, `--storage.tsdb.path=${dir}/data`, `--web.listen-address=${address}`];
  new Deno.Command("prometheus", { args, signal, stdout: "null", stderr: "null" }).spawn();
  return async <T>(path: string, query = ""): Promise<T> => {
    const response = await fetch(`http://${address}/api/v1/${path}?${new URLSearchParams({ query })}`, { signal });
    const answer: Answer<T> = await response.json();
    if (answer.status !== "success") throw new Error(`${path} ${query}: ${answer.error}`);
    return answer.data;
  };
}

/** Asks until there is an answer. @throws once the command's time is over, with `what`. */
async function until(what: string, signal: AbortSignal, isSo: () => Promise<boolean>): Promise<void> {
  while (!await isSo().catch(() => false)) {
    if (signal.aborted) throw new Error(`not within ${LIMIT_MS / 1_000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function sellOneAnswer(timmy: RunningProcess, signal: AbortSignal): Promise<void> {
  const { body: job } = await timmy.call("POST", "/api/jobs", { request: "What is a hold invoice?" });
  for (const [invoice, state] of [["evalInvoice", "awaiting_work_payment"], ["workInvoice", "complete"]]) {
    const { body } = await timmy.call("GET", `/api/jobs/${job.jobId}`);
    await timmy.call("POST", `/api/dev/stub/pay/${body[invoice!].paymentHash}`);
    await until(
      `the job is ${state}`,
      signal,
      async () => (await timmy.call("GET", `/api/jobs/${job.jobId}`)).body.state === state,
    );
  }
}

/** Every expression of rules and dashboard, as the server takes it. */
async function expressions(): Promise<string[]> {
  const rules = parse(await Deno.readTextFile(`${FOLDER}rules.yml`)) as { groups: { rules: { expr: string }[] }[] };
  const { panels } = JSON.parse(await Deno.readTextFile(`${FOLDER}dashboard.json`)) as {
    panels: { targets?: { expr: string }[] }[];
  };
  const all = [...rules.groups.flatMap(({ rules }) => rules), ...panels.flatMap(({ targets = [] }) => targets)];
  return all.map(({ expr }) => expr.replaceAll("$instance", ".+").replaceAll("$__rate_interval", "4s"));
}

async function watch(timmy: RunningProcess, dir: string, signal: AbortSignal): Promise<void> {
  await sellOneAnswer(timmy, signal);
  const old = await fetch(`${timmy.url}/metrics`, { headers: { accept: "text/plain" }, signal });
  await promtool(["check", "metrics"], await old.text());

  const api = await startPrometheus(new URL(timmy.url).host, dir, signal);
  const target = async () => (await api<Targets>("targets")).activeTargets[0];
  try {
    await until("Prometheus has scraped the instance", signal, async () => (await target())?.health === "up");
    for (const query of HAS_FIGURES) {
      await until(query, signal, async () => (await api<Result>("query", query)).result.length > 0);
    }
    console.log(`ok  scraped; ${HAS_FIGURES.length} queries return figures`);
    const all = await expressions();
    for (const query of all) await api<Result>("query", query);
    console.log(`ok  ${all.length} expressions of rules and dashboard are taken`);
    const loaded = async () => (await api<Rules>("rules")).groups.flatMap(({ rules }) => rules);
    await until(
      "all rules were evaluated",
      signal,
      async () => (await loaded()).every(({ health }) => health === "ok"),
    );
    const firing = (await loaded()).filter(({ state }) => state === "firing").map(({ name }) => name);
    if (firing.length > 0) throw new Error(`a healthy instance raises ${firing.join(", ")}`);
    console.log(`ok  ${(await loaded()).length} rules are evaluated, none fires`);
  } catch (error) {
    const lastError = await target().then((found) => found?.lastError, () => "");
    throw lastError ? new Error(`${(error as Error).message}\nPrometheus says of the instance: ${lastError}`) : error;
  }
}

async function main(): Promise<number> {
  for (const command of ["prometheus", "promtool"]) {
    if (await isThere(command)) continue;
    console.log(`SKIPPED: ${command} is not installed (apt-get install prometheus)`);
    return 0;
  }
  const since = performance.now();
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), LIMIT_MS);
  const dir = await Deno.makeTempDir({ prefix: "timmy-monitoring-" });
  let timmy: RunningProcess | undefined;
  try {
    await promtool(["check", "rules", `${FOLDER}rules.yml`]);
    await promtool(["test", "rules", `${FOLDER}rules.test.yml`]);
    timmy = await startProcess({ METRICS_MONEY: "on" });
    await watch(timmy, dir, abort.signal);
    console.log(`ok  in ${((performance.now() - since) / 1_000).toFixed(1)} s`);
    return 0;
  } catch (error) {
    console.error(`FAILED: ${(error as Error).message}`);
    return 1;
  } finally {
    clearTimeout(timer);
    abort.abort(); // ends Prometheus
    await timmy?.kill();
    await Deno.remove(dir, { recursive: true }).catch(() => {}); // Prometheus may still write: it is a temporary folder
  }
}

Deno.exit(await main());
