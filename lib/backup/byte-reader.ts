/** Reads a stream of bytes in pieces of the length that is asked for. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  /** Bytes that came and were not taken, in order. */
  #pieces: Uint8Array[] = [];
  #left = 0;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next `length` bytes, or fewer when there are no more. */
  async upTo(length: number): Promise<Uint8Array> {
    await this.#fill(length);
    const taken = new Uint8Array(Math.min(length, this.#left));
    for (let at = 0; at < taken.length;) {
      const piece = this.#pieces[0]!;
      const part = piece.subarray(0, taken.length - at);
      taken.set(part, at);
      at += part.length;
      if (part.length === piece.length) this.#pieces.shift();
      else this.#pieces[0] = piece.subarray(part.length);
    }
    this.#left -= taken.length;
    return taken;
  }

  /** The next line without its end; null when none ends within `max` bytes. It is taken all the same. */
  async line(max: number): Promise<string | null> {
    const bytes: number[] = [];
    while (bytes.length < max) {
      const [byte] = await this.upTo(1);
      if (byte === undefined) return null;
      if (byte === 0x0a) return new TextDecoder().decode(Uint8Array.from(bytes));
      bytes.push(byte);
    }
    return null;
  }

  async atEnd(): Promise<boolean> {
    await this.#fill(1);
    return this.#left === 0;
  }

  async #fill(length: number): Promise<void> {
    while (this.#left < length && !this.#ended) {
      const next = await this.#source.next();
      if (next.done) this.#ended = true;
      else if (next.value.length > 0) {
        this.#pieces.push(next.value);
        this.#left += next.value.length;
      }
    }
  }
}
