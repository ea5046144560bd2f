/**
 * Attacks an instance of its own, as a stranger on the network would, and says what each attack came to.
 *
 *   deno task hostile [--only WORD] [--binary PATH]
 *
 * The instances are processes with simulated money and a data folder of their own; nothing listens outside 127.0.0.1.
 */
import { ENV_NAMES } from "@/env.ts";
import { residentMegabytes } from "@/bench/program.ts";
import { type Attack, createTarget, type Outcome, type Target } from "@/tests/hostile/attack.ts";
import { DOORS, FLOOD_SETTINGS, released } from "@/tests/hostile/doors.ts";
import { FAILING_MODELS, type FailingModels, LOCAL_RATES, startFailingModels } from "@/tests/hostile/failing-models.ts";
import { feeAttack, refusalsOfMany, refusalsOfOne } from "@/tests/hostile/money.ts";
import { wordAttack } from "@/tests/hostile/words.ts";
import { readCopies } from "@/tests/crash/books.ts";
import { audit, freePort, type Program, start } from "@/tests/crash/process.ts";

export interface HostileArgs {
  /** Attacks whose name contains it; null: all. */
  only: string | null;
  /** A compiled program to attack in place of the sources. */
  binary: string | null;
}

/** @throws Error that says which argument is wrong. */
export function parseArgs(args: readonly string[]): HostileArgs {
  const parsed: HostileArgs = { only: null, binary: null };
  for (let at = 0; at < args.length; at += 2) {
    const [name, value] = [args[at], args[at + 1]];
    if (name !== "--only" && name !== "--binary") {
      throw new Error(`there is no option ${name}: use --only WORD or --binary PATH`);
    }
    if (!value) throw new Error(`${name} needs a value`);
    parsed[name === "--only" ? "only" : "binary"] = value;
  }
  return parsed;
}

/** One instance, and what is done to it. */
interface Group {
  env: Record<string, string>;
  attacks: readonly Attack[];
}

const START_MS = 30_000;
const STOP_MS = 15_000;
/** An IPv4 address of this machine that all attacks come from, and that may say who it asks for. */
const PROXY = "127.0.0.1";

const print = (line: string) => void Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));

export const lineOf = (name: string, { ok, figures }: Outcome): string =>
  `${ok ? "ok    " : "FAILED"} ${name}: ${figures}`;

function groupsOf(models: FailingModels): Group[] {
  const priced = {
    LOCAL_MODEL_BASE_URL: models.url,
    LOCAL_INPUT_COST_PER_1K_TOKENS: String(LOCAL_RATES.input),
    LOCAL_OUTPUT_COST_PER_1K_TOKENS: String(LOCAL_RATES.output),
    CHAT_MODELS: ["claude-sonnet-4-6", ...FAILING_MODELS].join(),
  };
  return [
    {
      env: {
        RATE_LIMIT_CHALLENGES_PER_MINUTE: String(FLOOD_SETTINGS.perMinute),
        MAX_OPEN_CHALLENGES: String(FLOOD_SETTINGS.openChallenges),
        INVOICE_EXPIRY_SECONDS: String(FLOOD_SETTINGS.invoiceExpiryMs / 1_000),
      },
      attacks: DOORS,
    },
    { env: { RATE_LIMIT_CHALLENGES_PER_MINUTE: "0" }, attacks: [wordAttack] },
    { env: { RATE_LIMIT_CHALLENGES_PER_MINUTE: "0" }, attacks: [feeAttack] },
    { env: { RATE_LIMIT_CHALLENGES_PER_MINUTE: "0", ...priced }, attacks: [refusalsOfOne(models)] },
    { env: { RATE_LIMIT_CHALLENGES_PER_MINUTE: "0", ...priced }, attacks: [refusalsOfMany(models)] },
  ];
}

/** Settings of the run; of this process's environment what is no setting goes along (caches, proxies). */
function programOf(folder: string, port: number, env: Record<string, string>, binary: string | null): Program {
  const rest = Object.entries(Deno.env.toObject()).filter(([name]) =>
    !ENV_NAMES.includes(name) && !/^DENO_KV_/.test(name)
  );
  const settings = {
    ...Object.fromEntries(rest),
    DENO: Deno.execPath(),
    NO_COLOR: "1",
    PORT: String(port),
    LOG_LEVEL: "error",
    TRUSTED_PROXIES: PROXY,
    RATE_LIMIT_PER_MINUTE: "0",
    // Nobody listens there: the run asks no one outside this machine for a price.
    BTC_PRICE_URL: "http://127.0.0.1:9/",
    BTC_PRICE_SECOND_URL: "http://127.0.0.1:9/",
    BTC_PRICE_THIRD_URL: "http://127.0.0.1:9/",
    ...env,
  };
  if (binary === null) {
    const command = ["sh", "scripts/start.sh"] as const;
    const cwd = `${import.meta.dirname}/..`;
    return { serve: command, audit: [...command, "audit"], env: { ...settings, DATA_DIR: `${folder}/data` }, cwd };
  }
  // The permissions of a binary name ./data: it is started beside its own. The shell becomes it, so that its pid is the binary's.
  const command = ["sh", "-c", `exec "$0" "$@"`, Deno.realPathSync(binary)] as const;
  return { serve: command, audit: [...command, "audit"], env: { ...settings, DATA_DIR: "./data" }, cwd: folder };
}

/** Runs an attack within its time. */
async function carryOut(attack: Attack, target: Target): Promise<Outcome> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Outcome>((resolve) => {
    const figures = `not done within ${attack.limitMs / 1_000} s`;
    timer = setTimeout(() => resolve({ ok: false, figures }), attack.limitMs);
  });
  try {
    return await Promise.race([attack.run(target), late]);
  } catch (error) {
    return { ok: false, figures: `broke off: ${error instanceof Error ? error.message : error}` };
  } finally {
    clearTimeout(timer);
  }
}

/** Carries out a group's attacks on one instance, ends it, and looks at its books. */
async function attackInstance(group: Group, binary: string | null, tell: (name: string, outcome: Outcome) => void) {
  const folder = await Deno.makeTempDir({ prefix: "timmy-hostile-" });
  const port = freePort();
  const program = programOf(folder, port, group.env, binary);
  const life = start(program, async () => {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/api/health`);
      await response.body?.cancel();
      return response.ok;
    } catch {
      return false; // not listening yet
    }
  });
  try {
    const up = await Promise.race([
      life.up(),
      new Promise<null>((resolve) => setTimeout(() => resolve(null), START_MS)),
    ]);
    if (up === null) throw new Error(`the instance did not start: ${life.stderr.trim() || "no word from it"}`);
    const target = createTarget(port, life, residentMegabytes);
    const judged: [Attack, Outcome][] = [];
    const fresh = await target.megabytes();
    for (const attack of group.attacks) {
      const idle = attack.keptMegabytes === undefined ? 0 : await target.megabytes();
      let outcome = await carryOut(attack, target);
      if (attack.keptMegabytes !== undefined) {
        const kept = await released(target, idle, attack.keptMegabytes);
        outcome = { ok: outcome.ok && kept.ok, figures: `${outcome.figures}; ${kept.figures}` };
      }
      if (attack.judge) judged.push([attack, outcome]);
      else tell(attack.name, outcome);
    }
    const ended = life.ended;
    const memory = ended
      ? ""
      : `, memory ${fresh.toFixed(0)} → ${(await target.megabytes()).toFixed(0)} MB from its start to its end`;
    const code = await life.stop(STOP_MS);
    const said = life.errors.map((line) => JSON.parse(line).msg ?? line);
    tell("the instance", {
      ok: ended === null && code === 0 && said.length === 0,
      figures: ended
        ? `it ended by itself (${ended.code})`
        : `ended with ${code ?? "SIGKILL"}, ${said.length} errors logged${memory}` +
          (said.length === 0 ? "" : `: ${[...new Set(said)].slice(0, 3).join("; ")}`),
    });
    await Deno.mkdir(`${folder}/copy`);
    const books = await readCopies(`${folder}/data`, `${folder}/copy`);
    for (const [attack, outcome] of judged) tell(attack.name, attack.judge?.(books, outcome) ?? outcome);
    const { ok, text } = await audit(program);
    const lines = text.split("\n");
    tell("audit", {
      ok,
      figures: ok ? `${lines.length} checks are green` : lines.find((line) => !/^ok/.test(line)) ?? text,
    });
  } finally {
    await life.kill();
    await Deno.remove(folder, { recursive: true });
  }
}

async function main(): Promise<number> {
  let args: HostileArgs;
  try {
    args = parseArgs(Deno.args);
  } catch (error) {
    print((error as Error).message);
    return 2;
  }
  const begun = performance.now();
  let [passed, failed] = [0, 0];
  const tell = (name: string, outcome: Outcome) => {
    print(lineOf(name, outcome));
    if (outcome.ok) passed++;
    else failed++;
  };
  const models = startFailingModels();
  try {
    for (const group of groupsOf(models)) {
      const attacks = group.attacks.filter(({ name }) => args.only === null || name.includes(args.only));
      if (attacks.length > 0) await attackInstance({ ...group, attacks }, args.binary, tell);
    }
  } finally {
    await models.stop();
  }
  print("left   clocks that leap: no setting gives an instance another clock; lib/leap-guard.test.ts has them");
  print(`${passed} passed, ${failed} failed in ${((performance.now() - begun) / 1_000).toFixed(0)} s`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
