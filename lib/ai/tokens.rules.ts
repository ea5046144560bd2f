/**
 * How many tokens a text is, without a tokenizer: by its kinds of characters, in one pass. A quarter of the characters
 * is right for English only; base64, digits, punctuation and other scripts take up to ten times as many tokens, and a
 * payer chooses what he sends.
 */
import { COMMON_WORDS } from "./common-words.rules.ts";
import { AFTER_SPACE, AFTER_SPACE_AND_CAPITAL, CLOSED, LetterRun, OPEN } from "./letter-run.rules.ts";

/** Whole numbers add up to the same whatever the pieces: costs are counted in parts of a token. */
const PARTS_PER_TOKEN = 240;

/** What one UTF-16 unit costs: a bound on what it can take, and what it takes in ordinary text (both in tokens). */
interface Cost {
  most: number;
  counted: number;
}

const cost = (most: number, counted: number): Cost => ({
  most: Math.round(most * PARTS_PER_TOKEN),
  counted: Math.round(counted * PARTS_PER_TOKEN),
});

/** A run of small letters is bounded as a whole, by {@link LetterRun}. */
const FIRST_SMALL = cost(0, 1);
/** From the twelfth letter on: words of a language are seldom longer, runs of letters that merge badly can be. */
const LATE_LETTER = cost(0, 0.45);
const FIRST_CAPITAL = cost(1, 1);
const CAPITAL_AFTER_SMALL = cost(1, 0.8);
const CAPITAL_AFTER_CAPITAL = cost(1, 0.45);
/** Both tokenizers cut digits into groups of three, and every group is a token. */
const THREE_DIGITS = cost(1, 1);
/** A space joins the word or the sign after it; before a digit it stays alone. */
const SPACE_BEFORE_DIGIT = cost(1, 1);
const SPACE_BEFORE_OTHER = cost(1, 0.2);
const SECOND_SPACE = cost(1, 0.7);
const MORE_SPACES = cost(1 / 16, 1 / 16);
const LINE_OR_TAB = cost(1, 0.6);
const SAME_LINE_OR_TAB = cost(1 / 8, 1 / 12);
const RETURN = cost(1, 0.9);
const LINE_AFTER_RETURN = cost(1 / 2, 0.2);
const SIGN = cost(1, 0.75);
const SIGN_AFTER_SIGN = cost(1, 0.6);
const SAME_SIGN = cost(1 / 2, 0.3);
const CONTROL = cost(1, 1);

/**
 * Characters beyond ASCII, by the code of their UTF-16 unit up to (not with) `below`. A byte is at most one token, so
 * that two bytes bound everything below U+0800, three everything else, and two each half of a surrogate pair. Where a
 * whole block takes fewer in both vocabularies, that is the bound.
 */
const BLOCKS: readonly (Cost & { below: number })[] = [
  { below: 0xdf, ...cost(2, 1.2) },
  { below: 0xf7, ...cost(1.25, 1) }, // small Latin letters with a mark: ß à … ö
  { below: 0xf8, ...cost(2, 1.2) },
  { below: 0xfd, ...cost(1.25, 1) }, // ø … ü
  { below: 0x180, ...cost(2, 0.8) },
  { below: 0x400, ...cost(2, 1.2) },
  { below: 0x460, ...cost(2, 0.55) }, // Cyrillic
  { below: 0x600, ...cost(2, 1.3) },
  { below: 0x660, ...cost(2, 0.85) }, // Arabic
  { below: 0x800, ...cost(2, 1.5) },
  { below: 0x900, ...cost(3, 2) },
  { below: 0xac0, ...cost(2, 1.2) }, // Devanagari and its neighbours
  { below: 0xb80, ...cost(3, 2) },
  { below: 0xec0, ...cost(2, 1.3) }, // Tamil to Lao
  { below: 0x1e80, ...cost(3, 2.2) },
  { below: 0x1f00, ...cost(3, 1.2) }, // Vietnamese
  { below: 0x2000, ...cost(3, 2) },
  { below: 0x20c0, ...cost(2, 1.2) }, // typographic signs, currencies
  { below: 0x3000, ...cost(3, 1.3) }, // arrows, mathematics, boxes, signs
  { below: 0x3100, ...cost(2, 1) }, // kana
  { below: 0x4e00, ...cost(3, 2) },
  { below: 0xa000, ...cost(3, 1.25) }, // Chinese characters
  { below: 0xac00, ...cost(3, 2.2) },
  { below: 0xd7c0, ...cost(3, 1.25) }, // Hangul
  { below: 0xd800, ...cost(3, 2.2) },
  { below: 0xe000, ...cost(2, 1.5) }, // surrogates
  { below: 0x10000, ...cost(3, 1.2) },
];

/**
 * What a small letter is counted as after another letter, in 24ths of a token as a digit of base 36: row = the letter before,
 * column = the letter. Pairs that stand inside many tokens are cheap, pairs that break a token are dear. Fitted by a
 * linear program to random letters, nonsense drawn by letter frequency, rare words and the prose of nineteen languages.
 */
const LETTER_PAIRS = `
u2p7uu244u25d2d7u29273ua2u
8uuf2u2u6au2552uudu233uu2u
2upu4uu28u23iu2uu4a22uuuuu
4due2uuu7uuahu62uu2u2uuuuu
2856pbau5u58u227u24328222a
2uuu2h2u2uu2uu4uu2uu9uuu94
uuuu2uuufuu52abuu4u26uuuuu
6uuu2g2u4uu2uu2uu22c2uuuu2
ji23572uuuu7g224uo2ju5udu2
uuuuiuuuuuuuuuauuuuuuuuuuu
uuum4u2ubuuauueuuu2222uuuu
58u22ulu2ugamu5uuu322u2u67
29ud2uuu2u2552gbuu3djmuuuu
49gc992ucu26u7a2uu42d2eul6
2774u92ukuua2272u295286u2i
2uut77u7cu62uu8au2d2guuuuu
uuuuuuuuuuuuuuuuuuuuuuuuuu
82a64m9a2u5m228uud749u6u2c
uu2u2j2d4uaujn32uu528d6u6k
3ucu7u822uuu2u9cubba8uuu22
8g8bu3uufuu722u4uj22uuuuuu
7uuu2uuu5uuuut2uuuuuuuuuuu
2uuu8uuj2uuuuu3uuukuuuuuuu
uufufuuu2uuuuuu2uuu2uuuuuu
uauuuouu2uu742m2uu4auu6uuu
2uuu2uuuguu7uuuuuuud2uuuuu
`;
const PAIR_BASE = 24;
/** Of a pair's cost, the part that ordinary text takes. */
const COUNTED_PART = 0.85;

/** Kinds of characters that the next one's cost depends on. */
const OTHER = 0;
const SMALL = 1;
const CAPITAL = 2;
const DIGIT = 3;
const SPACE = 4;
const LINE = 5;
const ASCII_SIGN = 6;

const TAB = 9;
const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const APOSTROPHE = 39;
const DELETE = 127;

const KIND_OF_ASCII = Uint8Array.from({ length: 128 }, (_, code) => {
  const character = String.fromCharCode(code);
  if (/[a-z]/.test(character)) return SMALL;
  if (/[A-Z]/.test(character)) return CAPITAL;
  if (/[0-9]/.test(character)) return DIGIT;
  if (character === " ") return SPACE;
  if (code === TAB || code === NEWLINE || code === CARRIAGE_RETURN) return LINE;
  return code < 32 || code === DELETE ? OTHER : ASCII_SIGN;
});

/** The low five bits of an ASCII letter are its place in the alphabet, 1 to 26, capital or small. */
const ALPHABET = 31;
/** Where a pair of letters stands in the table below. */
const pairIndex = (before: number, letter: number) => ((before & ALPHABET) << 5) | (letter & ALPHABET);

const PAIR_COUNTED = new Uint16Array(1024);
LETTER_PAIRS.trim().split("\n").forEach((row, before) =>
  [...row].forEach((digit, letter) => {
    PAIR_COUNTED[pairIndex(before + 1, letter + 1)] = cost(0, parseInt(digit, 36) / PAIR_BASE * COUNTED_PART).counted;
  })
);

/** Letters of the longest word that is looked up: as digits to the base 27, eleven fit a double exactly. */
const MAX_WORD = 11;
const WORD_BASE = 27;
const wordKey = (word: string) => [...word].reduce((key, c) => key * WORD_BASE + (c.charCodeAt(0) & ALPHABET), 0);
const COMMON_KEYS: ReadonlySet<number> = new Set(COMMON_WORDS.trim().split(/\s+/).map(wordKey));

/** The block of each code. */
const BLOCK_OF = Uint8Array.from({ length: 0x10000 }, (_, code) => BLOCKS.findIndex(({ below }) => code < below));

/** Reads a text in pieces, in constant memory. What is counted only grows, so a longer text never counts less. */
class Scanner {
  /** Parts of a token, but for the run of small letters at the end. */
  most = 0;
  /** Parts of a token. A word at the end that may prove a common one is in them with its first letter only. */
  counted = 0;
  readonly #letters: LetterRun | null;
  #kind = LINE;
  #before = 0;
  /** Letters, digits, spaces or same lines of the run before the last unit. */
  #run = 0;
  /** Whether a capital stands alone after a space. */
  #isSpaced = false;
  /** Of the word that may be a common one: letters (0 when there is none), key, and what it counts if it is not. */
  #length = 0;
  #key = 0;
  #wordCounted = 0;

  /** @param bounded whether `most` is asked for */
  constructor(bounded: boolean) {
    this.#letters = bounded ? new LetterRun() : null;
  }

  add(text: string): void {
    const letters = this.#letters;
    let { most, counted } = this;
    let kind = this.#kind, before = this.#before, run = this.#run;
    let isSpaced = this.#isSpaced;
    let length = this.#length, key = this.#key, wordCounted = this.#wordCounted;

    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      const next = code < 128 ? KIND_OF_ASCII[code]! : OTHER;
      if (letters && next === SMALL) {
        if (kind === SPACE) letters.begin(AFTER_SPACE);
        else if (kind === CAPITAL && isSpaced) {
          most -= PARTS_PER_TOKEN; // the capital is counted with the run
          letters.begin(AFTER_SPACE_AND_CAPITAL, before & ALPHABET);
        } else if (kind !== SMALL) letters.begin(kind === DIGIT || kind === LINE && before !== TAB ? CLOSED : OPEN);
        letters.add(code & ALPHABET);
      }
      if (next === SMALL && (kind === SMALL || kind === CAPITAL)) {
        const pair = PAIR_COUNTED[pairIndex(before, code)]!;
        run++;
        if (run >= MAX_WORD) {
          counted += wordCounted + LATE_LETTER.counted;
          length = wordCounted = 0;
        } else if (length > 0) {
          wordCounted += pair;
          key = key * WORD_BASE + (code & ALPHABET);
          length++;
        } else {
          counted += pair;
        }
        kind = SMALL;
        before = code;
        continue;
      }
      // A capital or a letter beyond ASCII continues the word, which then is no common one.
      const isCommon = length > 0 && next !== CAPITAL && code < 128 && COMMON_KEYS.has(key);
      if (!isCommon) counted += wordCounted;
      if (letters && kind === SMALL) {
        const isOpen = next === CAPITAL || code >= 128 || code === APOSTROPHE;
        most += (isCommon ? 1 : isOpen ? letters.tokensOpen : letters.tokens) * PARTS_PER_TOKEN;
      }
      isSpaced = kind === SPACE && next === CAPITAL;
      length = wordCounted = 0;
      run = next === kind && (next !== LINE || code === before) ? run + 1 : 0;
      const charge = chargeOf(next, kind, code, before, run);
      most += charge.most;
      counted += charge.counted;
      if (kind === SPACE) {
        if (next === SMALL) {
          length = 1;
          key = code & ALPHABET;
        } else if (next === DIGIT || next === OTHER || code === CARRIAGE_RETURN || code === TAB) {
          const space = next === DIGIT ? SPACE_BEFORE_DIGIT : SPACE_BEFORE_OTHER;
          most += space.most;
          counted += space.counted;
        }
      }
      kind = next;
      before = code;
    }

    this.most = most;
    this.counted = counted;
    this.#kind = kind;
    this.#before = before;
    this.#run = run;
    this.#isSpaced = isSpaced;
    this.#length = length;
    this.#key = key;
    this.#wordCounted = wordCounted;
  }

  /** The bound if the text ends here: the last word is looked up too. */
  mostAtEnd(): number {
    const isCommon = this.#length > 0 && COMMON_KEYS.has(this.#key);
    const letters = this.#kind === SMALL ? this.#letters?.tokens ?? 0 : 0;
    return Math.max(this.most + (isCommon ? 1 : letters) * PARTS_PER_TOKEN, this.counted);
  }
}

const NOTHING = cost(0, 0);

/** What a unit costs that is not a small letter after a letter. `run` is how many of its kind stand before it. */
function chargeOf(next: number, kind: number, code: number, before: number, run: number): Cost {
  switch (next) {
    case SMALL:
      return FIRST_SMALL;
    case CAPITAL:
      return kind === SMALL ? CAPITAL_AFTER_SMALL : kind === CAPITAL ? CAPITAL_AFTER_CAPITAL : FIRST_CAPITAL;
    case DIGIT:
      return run % 3 === 0 ? THREE_DIGITS : NOTHING;
    case SPACE:
      return run === 0 ? NOTHING : run === 1 ? SECOND_SPACE : MORE_SPACES;
    case LINE:
      if (code === CARRIAGE_RETURN) return RETURN;
      if (code === before) return code === TAB && run === 1 ? LINE_OR_TAB : SAME_LINE_OR_TAB;
      return code === NEWLINE && before === CARRIAGE_RETURN ? LINE_AFTER_RETURN : LINE_OR_TAB;
    case ASCII_SIGN:
      return code === before ? SAME_SIGN : kind === ASCII_SIGN ? SIGN_AFTER_SIGN : SIGN;
    default:
      return code < 128 ? CONTROL : BLOCKS[BLOCK_OF[code]!]!;
  }
}

/**
 * An upper bound of the tokens of a text for cl100k_base and o200k_base, which is what is reserved (economy.md §3).
 * @param factor what the model in use takes of that bound, as learned from its own counts; 1 when nothing is known.
 * @returns whole tokens, rounded up; 0 for an empty text.
 * @throws {RangeError} for a factor that is not finite and above 0.
 */
export function mostTokens(text: string, factor = 1): number {
  if (!Number.isFinite(factor) || factor <= 0) {
    throw new RangeError(`factor must be a finite number above 0, not ${factor}`);
  }
  if (text === "") return 0;
  const scanner = new Scanner(true);
  scanner.add(text);
  // One more: a space at the very end has no word to join.
  return Math.ceil((scanner.mostAtEnd() / PARTS_PER_TOKEN + 1) * factor);
}

/**
 * The tokens that a text is charged where nobody counted them (economy.md §3): fitted to the dearer of both tokenizers,
 * never above `mostTokens(text)`, and never less for a longer text that begins the same.
 * @returns whole tokens, rounded up; 0 for an empty text.
 */
export function countedTokens(text: string): number {
  const counter = createTokenCounter();
  counter.add(text);
  return counter.tokens;
}

/** Counts a text that arrives in pieces. */
export interface TokenCounter {
  /** Reads only this piece. It may begin or end anywhere, even between the halves of a surrogate pair. */
  add(piece: string): void;
  /** `countedTokens` of all pieces together. */
  readonly tokens: number;
}

/** A counter at 0. */
export function createTokenCounter(): TokenCounter {
  const scanner = new Scanner(false);
  return {
    add: (piece) => scanner.add(piece),
    get tokens() {
      return Math.ceil(scanner.counted / PARTS_PER_TOKEN);
    },
  };
}

/** Unicode code points of `text` (an emoji outside the basic plane is one; half of a broken pair is one too). */
export function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
