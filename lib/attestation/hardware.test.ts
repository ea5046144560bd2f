/** What asks the hardware, against stand-ins: neither configfs-tsm nor `/dev/nsm` is here. */
import assert from "node:assert/strict";
import { decode, encode } from "cborg";
import { denoFiles, type TsmFiles, tsmQuote } from "./configfs-tsm.ts";
import { nsmQuote } from "./nitro-nsm.ts";

const REPORT_DATA = new Uint8Array(64).fill(0xcd);
const bytes = (text: string) => new TextEncoder().encode(text);

/** A folder that does what the kernel does: an entry has its files at once, and evidence once its question is written. */
async function withFolder(
  kernel: { provider: string; certificates?: string; intruder?: boolean; outblob?: string; busy?: boolean },
  test: (folder: string, files: TsmFiles) => Promise<void>,
) {
  const folder = await Deno.makeTempDir();
  const files: TsmFiles = {
    async mkdir(path) {
      await denoFiles.mkdir(path);
      await Deno.writeTextFile(`${path}/provider`, `${kernel.provider}\n`);
      await Deno.writeTextFile(`${path}/generation`, "0\n");
      await Deno.writeFile(`${path}/inblob`, new Uint8Array());
    },
    async write(path, question) {
      await denoFiles.write(path, question);
      const entry = path.slice(0, path.lastIndexOf("/"));
      await Deno.writeTextFile(`${entry}/generation`, "1\n");
      await Deno.writeTextFile(`${entry}/outblob`, kernel.outblob ?? `evidence for ${question.length}`);
      if (kernel.certificates !== undefined) await Deno.writeTextFile(`${entry}/auxblob`, kernel.certificates);
    },
    async read(path) {
      if (kernel.busy && path.endsWith("/outblob")) throw new Deno.errors.Busy("the device is busy");
      const read = await denoFiles.read(path);
      if (kernel.intruder && path.endsWith("/outblob")) {
        await Deno.writeTextFile(path.replace(/outblob$/, "generation"), "2\n");
      }
      return read;
    },
    // The kernel's files go with their folder.
    rmdir: (path) => Deno.remove(path, { recursive: true }),
  };
  try {
    await test(folder, files);
    assert.deepEqual([...Deno.readDirSync(folder)], [], "no entry is left behind");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("configfs-tsm: writes the question, reads the evidence, and says by the provider what it is", async () => {
  await withFolder({ provider: "sev_guest", certificates: "table" }, async (folder, files) => {
    assert.deepEqual(await tsmQuote(REPORT_DATA, { folder, files }), {
      kind: "sev-snp",
      quote: bytes("evidence for 64"),
      certificates: bytes("table"),
    });
  });
  for (const certificates of [undefined, ""]) {
    await withFolder({ provider: "sev_guest", ...(certificates === "" && { certificates }) }, async (folder, files) => {
      assert.equal((await tsmQuote(REPORT_DATA, { folder, files })).certificates, null);
    });
  }
  await withFolder({ provider: "tdx_guest", certificates: "not a table" }, async (folder, files) => {
    const { kind, certificates } = await tsmQuote(REPORT_DATA, { folder, files });
    assert.deepEqual([kind, certificates], ["tdx", null]);
  });
});

Deno.test("configfs-tsm: an unknown provider, a second writer, no evidence and a busy device are errors, and leave no entry", async () => {
  const cases: [Parameters<typeof withFolder>[0], RegExp][] = [
    [{ provider: "arm_cca_guest" }, /arm_cca_guest/],
    [{ provider: "sev_guest", intruder: true }, /somebody else wrote/],
    [{ provider: "tdx_guest", outblob: "" }, /gave nothing/],
    [{ provider: "tdx_guest", busy: true }, /busy/],
  ];
  for (const [kernel, pattern] of cases) {
    await withFolder(kernel, (folder, files) => assert.rejects(tsmQuote(REPORT_DATA, { folder, files }), pattern));
  }
});

Deno.test("configfs-tsm: an entry that is somebody else's is never used", async () => {
  await withFolder({ provider: "sev_guest" }, async (folder, files) => {
    await Deno.mkdir(`${folder}/taken`);
    await assert.rejects(tsmQuote(REPORT_DATA, { folder, files, name: "taken" }), Deno.errors.AlreadyExists);
    await Deno.remove(`${folder}/taken`);
  });
});

Deno.test("/dev/nsm: the report data is the user data of the question; the document comes back as it is", () => {
  const asked: unknown[] = [];
  const document = Uint8Array.of(0x84, 1, 2);
  const quote = nsmQuote(REPORT_DATA, (request) => {
    asked.push(decode(request));
    return encode({ Attestation: { document } });
  });
  assert.deepEqual(quote, { kind: "nitro", quote: document, certificates: null });
  assert.deepEqual(asked, [{ Attestation: { user_data: REPORT_DATA, nonce: null, public_key: null } }]);
  for (const answer of [{ Error: "InvalidArgument" }, { Attestation: {} }, {}]) {
    assert.throws(() => nsmQuote(REPORT_DATA, () => encode(answer)), /InvalidArgument|something else/);
  }
});
