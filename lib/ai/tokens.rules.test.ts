// deno-lint-ignore-file no-console -- prints the table of `deno task tokens`
import assert from "node:assert/strict";
import fc from "fast-check";
import { encode as encodeCl100k } from "gpt-tokenizer/encoding/cl100k_base";
import { encode as encodeO200k } from "gpt-tokenizer/encoding/o200k_base";
import { COMMON_WORDS } from "./common-words.rules.ts";
import { AFTER_SPACE, CLOSED, knownTokens, LetterRun, OPEN } from "./letter-run.rules.ts";
import { countedTokens, createTokenCounter, mostTokens } from "./tokens.rules.ts";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";

/** Text that looks like a control token of the model is text. */
const AS_TEXT = { disallowedSpecial: new Set<string>() };
const cl100k = (text: string) => encodeCl100k(text, AS_TEXT).length;
const o200k = (text: string) => encodeO200k(text, AS_TEXT).length;
const truths = (text: string) => [cl100k(text), o200k(text)] as const;
const dearer = (text: string) => Math.max(...truths(text));
const cheaper = (text: string) => Math.min(...truths(text));

const FOLDER = new URL("../../tests/fixtures/texts/", import.meta.url);
const FILES = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).sort();
const WRITTEN = new Map(FILES.map((name) => [name.replace(".txt", ""), Deno.readTextFileSync(new URL(name, FOLDER))]));
const written = (name: string) => WRITTEN.get(name) ?? assert.fail(`no text ${name}`);
const PROSE = [...WRITTEN].filter(([name]) => /^(english|german)/.test(name));

const SMALL = "abcdefghijklmnopqrstuvwxyz";
const CAPITALS = SMALL.toUpperCase();
const DIGITS = "0123456789";
const SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

const random = createSeededRandom(20261128);
const between = (min: number, max: number) => min + new DataView(random.bytes(4).buffer).getUint32(0) % (max - min + 1);
const one = <T>(from: ArrayLike<T>) => from[between(0, from.length - 1)]!;
const many = (count: number, make: () => string, separator = "") => Array.from({ length: count }, make).join(separator);
const drawn = (from: string, count: number) => many(count, () => one(from));
const codes = (min: number, max: number, count: number) => many(count, () => String.fromCodePoint(between(min, max)));

/** Letters drawn by what follows the last one in that text: nonsense that looks like its language. */
function nonsenseLike(text: string, length: number): string {
  const followers = new Map<string, string[]>();
  const letters = text.toLowerCase().replace(/[^a-zäöüß]+/g, " ");
  for (let i = 1; i < letters.length; i++) {
    followers.set(letters[i - 1]!, [...followers.get(letters[i - 1]!) ?? [], letters[i]!]);
  }
  let nonsense = " ";
  while (nonsense.length < length) nonsense += one(followers.get(nonsense.at(-1)!) ?? [" "]);
  return nonsense;
}

const dictionary = [...WRITTEN.values()].flatMap((text) => text.match(/\p{L}{4,}/gu) ?? []);
const GENERATED = new Map(Object.entries({
  "base64": drawn(SMALL + CAPITALS + DIGITS + "+/", 2000),
  "hex": drawn(DIGITS + "abcdef", 2000),
  "capital hex": drawn(DIGITS + "ABCDEF", 2000),
  "base32": drawn(CAPITALS + "234567", 2000),
  "UUIDs": many(50, () => drawn(DIGITS + "abcdef", 8) + "-" + drawn(DIGITS + "abcdef", 4), "\n"),
  "digits": drawn(DIGITS, 2000),
  "random numbers": many(400, () => drawn(DIGITS, between(1, 6)), " "),
  "decimals": many(300, () => `${drawn(DIGITS, between(1, 3))}.${drawn(DIGITS, between(1, 4))}`, ", "),
  "random signs": drawn(SIGNS, 2000),
  "signs and spaces": many(500, () => drawn(SIGNS, between(1, 3)), " "),
  "runs of a sign": many(200, () => one(SIGNS).repeat(between(1, 30))),
  "letter, sign": many(700, () => one(SMALL) + one(SIGNS)),
  "spaces": " ".repeat(2000),
  "tabs": "\t".repeat(2000),
  "newlines": "\n".repeat(2000),
  "returns": "\r".repeat(2000),
  "mixed blanks": drawn(" \t\r\n", 2000),
  "indented letters": many(400, () => drawn(" \t\n", between(1, 6)) + one(SMALL + DIGITS + SIGNS)),
  "control characters": codes(0, 31, 1000),
  "random letters": drawn(SMALL, 2000),
  "random words": many(300, () => drawn(SMALL, between(1, 10)), " "),
  "random capitals": drawn(CAPITALS, 2000),
  "random mixed case": drawn(SMALL + CAPITALS, 2000),
  "random Title Words": many(300, () => one(CAPITALS) + drawn(SMALL, between(0, 8)), " "),
  "single letters": many(700, () => one(SMALL + CAPITALS), " "),
  "syllables": many(300, () => many(between(1, 4), () => one("bcdfghjklmnpqrstvwxz") + one("aeiouy")), " "),
  "nonsense English": nonsenseLike(written("english"), 3000),
  "nonsense German": nonsenseLike(written("german"), 3000),
  "nonsense Finnish": nonsenseLike(written("finnish"), 3000),
  "random dictionary words": many(300, () => one(dictionary), " "),
  "ENGLISH": written("english").toUpperCase(),
  "GERMAN": written("german").toUpperCase(),
  "englishwithoutblanks": written("english-technical").replace(/[^a-z]/gi, "").toLowerCase(),
  "printable ASCII": codes(32, 126, 2000),
  "two-byte characters": codes(0x80, 0x7ff, 1000),
  "three-byte characters": codes(0x800, 0xd7ff, 1000),
  "four-byte characters": codes(0x10000, 0x10ffff, 500),
  "two letters over and over": many(26, () => (one(SMALL) + one(SMALL)).repeat(80), " "),
  "vowels over and over": "oa".repeat(800) + " " + "m".repeat(800),
  "tabs before signs": many(300, () => "\t\t" + one(SIGNS + DIGITS)),
  "spaces before returns": many(300, () => one(SIGNS) + one([" \r", " \t", "\r "])),
  "rare signs": "÷þÿ⃀⇀⎀ἀ".repeat(60),
  "lone surrogates": many(500, () => String.fromCharCode(between(0xd800, 0xdfff)) + one(SMALL)),
  "marked letters": many(700, () => one("äöüßéèñçåøšžłęřűı") + drawn(SMALL, between(0, 2))),
}));
const CORPUS = [...WRITTEN, ...GENERATED];

for (const [name, text] of CORPUS) {
  Deno.test(`mostTokens: ${name}: no tokenizer takes more`, () => {
    assert.ok(mostTokens(text) >= dearer(text), `${mostTokens(text)} reserved, ${truths(text)} taken`);
    assert.ok(countedTokens(text) <= mostTokens(text));
  });
}

for (const [name, text] of PROSE) {
  // German takes up to 29 % more of cl100k_base than of o200k_base: what holds for the one is dear for the other.
  const overCheaper = name.startsWith("english") ? 1.6 : 2;
  Deno.test(`mostTokens: ${name}: at most 1.6 times what the dearer tokenizer takes, ${overCheaper} the cheaper`, () => {
    assert.ok(mostTokens(text) <= 1.6 * dearer(text), `${mostTokens(text)} reserved, ${truths(text)} taken`);
    assert.ok(mostTokens(text) <= overCheaper * cheaper(text), `${mostTokens(text)} reserved, ${truths(text)} taken`);
  });

  Deno.test(`countedTokens: ${name}: 95 to 160 % of both tokenizers wherever the caller hangs up`, () => {
    // Both tokenizers begin anew at each end: every one of the first 400, every seventh from there, and the last.
    for (
      let end = 1;
      end <= text.length;
      end = end < 400 ? end + 1 : Math.min(end + 7, Math.max(end + 1, text.length))
    ) {
      const prefix = text.slice(0, end);
      // The last word counts when it is over, so that the first few words are off by up to three tokens.
      const slack = end < 150 ? 3 : 0;
      const counted = countedTokens(prefix);
      assert.ok(counted + slack >= 0.95 * dearer(prefix), `${counted} counted, ${truths(prefix)} taken: ${prefix}`);
      assert.ok(counted - slack <= 1.6 * cheaper(prefix), `${counted} counted, ${truths(prefix)} taken: ${prefix}`);
    }
  });
}

Deno.test("countedTokens: what is charged is near the dearer tokenizer in every language and form of the corpus", () => {
  for (const [name, text] of WRITTEN) {
    const ratio = countedTokens(text) / dearer(text);
    assert.ok(ratio >= 0.85 && ratio <= 1.6, `${name}: ${ratio}`);
  }
});

Deno.test("letter runs: each known sequence is one token of both tokenizers", () => {
  const known = [...knownTokens()];
  assert.ok(known.length > 10_000);
  for (const sequence of known) {
    assert.match(sequence, /^ ?[A-Za-z][a-z]*$/);
    assert.deepEqual(truths(sequence), [1, 1], sequence);
  }
});

Deno.test("letter runs: what follows may take letters away, which leaves as many tokens as the beginning can be", () => {
  fc.assert(fc.property(letters(SMALL, 14), fc.constantFrom(OPEN, CLOSED, AFTER_SPACE), (word, before) => {
    const run = new LetterRun();
    run.begin(before);
    let most = run.tokens;
    for (const letter of word) {
      run.add(letter.charCodeAt(0) & 31);
      most = Math.max(most, run.tokens);
      assert.equal(run.tokensOpen, most);
    }
  }));
});

Deno.test("common words: each is one token of both tokenizers after a space", () => {
  for (const word of COMMON_WORDS.trim().split(/\s+/)) {
    assert.match(word, /^[a-z]{2,11}$/);
    assert.deepEqual(truths(` ${word}`), [1, 1], word);
  }
});

const letters = (from: string, maxLength: number) =>
  fc.array(fc.constantFrom(...from), { maxLength }).map((parts) => parts.join(""));
const sliceOfCorpus = fc.tuple(fc.constantFrom(...CORPUS), fc.nat(), fc.nat(200)).map(
  ([[, text], start, length]) => text.slice(start % text.length, start % text.length + length),
);
const anyUnits = fc.array(fc.nat(0xffff), { maxLength: 20 }).map((units) => String.fromCharCode(...units));
const mixture = fc.array(
  fc.oneof(
    sliceOfCorpus,
    anyUnits,
    fc.string({ unit: "binary", maxLength: 30 }),
    fc.string({ unit: "grapheme", maxLength: 30 }),
    letters(SMALL, 12),
    letters(SMALL + CAPITALS + DIGITS, 40),
    letters(SIGNS, 20),
    letters(" \t\r\n", 8),
    fc.tuple(fc.constantFrom(...SIGNS, ..." \n\t\r0aZ€😀"), fc.nat(90)).map(([c, n]) => c.repeat(n)),
    fc.constantFrom(" ", ". ", "\n", "<|endoftext|>", "👨‍👩‍👧‍👦", "🇩🇪", "e\u0301", "\u200b"),
  ),
  { maxLength: 12 },
).map((parts) => parts.join(""));
const RUNS = { numRuns: 1000 };

Deno.test("mostTokens: no tokenizer takes more of any mixture", () => {
  fc.assert(
    fc.property(mixture, (text) => {
      assert.ok(mostTokens(text) >= dearer(text), `${mostTokens(text)} reserved, ${truths(text)} taken`);
    }),
    RUNS,
  );
});

Deno.test("mostTokens: no tokenizer takes more of a fragment that is chosen and said over and over", () => {
  const over = (fragment: string) => {
    const text = fragment.repeat(Math.ceil(60 / fragment.length));
    assert.ok(mostTokens(text) >= dearer(text), `${fragment}: ${mostTokens(text)} reserved, ${truths(text)} taken`);
  };
  for (const before of ["", " ", "\n", ".", " X", "X", "ä", "'", "7"]) {
    for (const first of SMALL) for (const second of ["", ...SMALL]) over(before + first + second);
  }
  // A sign, a capital or a marked letter takes letters of the run next to it into its own token.
  for (const chosen of ["_baum", ".frau", "Boffs", " Boffs", "dorfü", "\n\t\tuton u", "don'tabus"]) over(chosen);
  for (const first of SMALL) for (const second of SMALL) for (const third of SMALL) over(` ${first}${second}${third}`);
  const fragment = fc.array(fc.oneof(letters(SMALL, 8), letters(SMALL, 3), fc.constantFrom(..." 'AZä.7\n")), {
    minLength: 1,
    maxLength: 4,
  }).map((parts) => parts.join("")).filter((text) => text !== "");
  fc.assert(fc.property(fragment, over), { numRuns: 5_000 });
});

Deno.test("countedTokens: no mixture is charged more than is reserved for it", () => {
  fc.assert(
    fc.property(mixture, (text) => {
      assert.ok(
        countedTokens(text) <= mostTokens(text),
        `${countedTokens(text)} charged, ${mostTokens(text)} reserved`,
      );
    }),
    RUNS,
  );
});

Deno.test("countedTokens: a longer prefix never counts less", () => {
  fc.assert(
    fc.property(mixture, (text) => {
      let before = 0;
      for (let end = 0; end <= text.length; end++) {
        const counted = countedTokens(text.slice(0, end));
        assert.ok(counted >= before, `${counted} after ${end} units, ${before} before`);
        before = counted;
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("createTokenCounter: is the count of the whole text at every piece, wherever it is cut", () => {
  fc.assert(
    fc.property(mixture, fc.array(fc.nat(9), { minLength: 1 }), (text, lengths) => {
      const counter = createTokenCounter();
      for (let start = 0, turn = 0; start < text.length; turn++) {
        const end = start + lengths[turn % lengths.length]! + (turn % 7 === 0 ? 1 : 0);
        counter.add(text.slice(start, end));
        assert.equal(counter.tokens, countedTokens(text.slice(0, end)));
        start = end;
      }
    }),
    RUNS,
  );
});

Deno.test("createTokenCounter: a surrogate pair between two pieces is counted once", () => {
  const counter = createTokenCounter();
  for (const unit of "a🇩🇪👨‍👩‍👧 b".split("")) counter.add(unit);
  assert.equal(counter.tokens, countedTokens("a🇩🇪👨‍👩‍👧 b"));
});

Deno.test("mostTokens: the model's factor multiplies the bound before it is rounded up", () => {
  const text = written("english");
  assert.ok(Math.abs(mostTokens(text, 1.37) - 1.37 * mostTokens(text)) < 2);
  assert.ok(Math.abs(mostTokens(text, 0.8) - 0.8 * mostTokens(text)) < 1);
  for (const factor of [0, -1, NaN, Infinity]) {
    assert.throws(() => mostTokens(text, factor), { name: "RangeError", message: /factor/ });
  }
});

Deno.test("an empty text has no tokens", () => {
  assert.deepEqual([mostTokens(""), mostTokens("", 3), countedTokens(""), createTokenCounter().tokens], [0, 0, 0, 0]);
});

if (Deno.env.get("TIMMY_TOKEN_TABLE")) {
  /** Lowest, middle and highest ratio over stretches of 300 characters. */
  const spread = (text: string, estimate: (text: string) => number, truth: (text: string) => number) => {
    const parts = Array.from({ length: Math.ceil(text.length / 300) }, (_, i) => text.slice(i * 300, i * 300 + 300));
    const ratios = parts.filter((part) => part.length > 100).map((part) => estimate(part) / truth(part)).sort((a, b) =>
      a - b
    );
    return [ratios[0], ratios[ratios.length >> 1], ratios.at(-1)].map((ratio) => ratio?.toFixed(2) ?? "-").join(" / ");
  };
  console.log("Per 300 characters, lowest / middle / highest; of cl100k_base, then of o200k_base");
  console.log(`${"".padEnd(26)}${"reserved".padEnd(42)}charged`);
  for (const [name, text] of CORPUS) {
    const cells = [mostTokens, countedTokens].flatMap((of) =>
      [cl100k, o200k].map((truth) => spread(text, (t) => of(t), truth))
    );
    console.log(name.padEnd(26) + cells.map((cell) => cell.padEnd(21)).join(""));
  }
}
