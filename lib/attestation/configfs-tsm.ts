/** Evidence through Linux' configfs-tsm (Documentation/ABI/testing/configfs-tsm): SEV-SNP and TDX alike. */
import type { Quote } from "./port.ts";

export const TSM_FOLDER = "/sys/kernel/config/tsm/report";

/** The kernel's name of what answers. */
const KIND_OF: Readonly<Record<string, Quote["kind"]>> = { sev_guest: "sev-snp", tdx_guest: "tdx" };

/** Files as the kernel shows them; Deno's own, or a stand-in. */
export interface TsmFiles {
  mkdir(path: string): Promise<void>;
  write(path: string, bytes: Uint8Array): Promise<void>;
  read(path: string): Promise<Uint8Array>;
  rmdir(path: string): Promise<void>;
}

export const denoFiles: TsmFiles = {
  mkdir: (path) => Deno.mkdir(path),
  write: (path, bytes) => Deno.writeFile(path, bytes, { create: false }),
  read: (path) => Deno.readFile(path),
  rmdir: (path) => Deno.remove(path),
};

/** The kernel has no evidence to give, or not of a kind that is known. */
export class TsmError extends Error {
  override name = "TsmError";
}

/**
 * Making an entry, writing 64 bytes into it and reading the answer are one question. `generation` counts writes: a second writer would
 * have changed it, and the evidence could be for another's bytes.
 * @throws {TsmError} and what the system says, EBUSY among it.
 */
export async function tsmQuote(
  reportData: Uint8Array,
  options: { folder?: string; files?: TsmFiles; name?: string } = {},
): Promise<Quote> {
  const { folder = TSM_FOLDER, files = denoFiles, name = `timmy-${crypto.randomUUID()}` } = options;
  const entry = `${folder}/${name}`;
  const text = async (file: string) => new TextDecoder().decode(await files.read(`${entry}/${file}`)).trim();
  await files.mkdir(entry);
  try {
    const provider = await text("provider");
    const kind = KIND_OF[provider];
    if (!kind) throw new TsmError(`configfs-tsm is provided by ${provider}, which is not known`);
    await files.write(`${entry}/inblob`, reportData);
    const before = await text("generation");
    const quote = await files.read(`${entry}/outblob`);
    const certificates = kind === "sev-snp" ? await certificateTable(entry, files) : null;
    if (await text("generation") !== before) throw new TsmError("somebody else wrote to the entry meanwhile");
    if (quote.length === 0) throw new TsmError("configfs-tsm gave nothing");
    return { kind, quote, certificates };
  } finally {
    await files.rmdir(entry);
  }
}

/** Not every host hands certificates over: the file is then empty or missing. */
async function certificateTable(entry: string, files: TsmFiles): Promise<Uint8Array | null> {
  try {
    const table = await files.read(`${entry}/auxblob`);
    return table.length > 0 ? table : null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
