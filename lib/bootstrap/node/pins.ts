/**
 * What a node runs, by checksum or digest. Each value here was found in two public repositories of people who have nothing to do with one
 * another, and both are named; what has no such pair is `null`, and no node is made with it. docs/operations/node-pins.md tells how to look
 * for a pair, and which were looked for in vain.
 */

/** The machine's architecture as `uname -m` prints it. */
export type Architecture = "x86_64" | "aarch64";

export interface ReleaseFile {
  url: string;
  /** 64 lowercase hex digits. */
  sha256: string;
}

/** What a node is made of: Bitcoin by the checksum of its release, the others as `name:tag@sha256:digest`. */
export interface NodeImages {
  bitcoin: Readonly<Record<Architecture, ReleaseFile>>;
  lnd: string;
  lnbits: string;
}

/** Where a value was read: `owner/name`, the commit and the file. */
export interface PinSource {
  repository: string;
  commit: string;
  path: string;
}

export interface Pin<Value> {
  version: string;
  value: Value;
  sources: readonly [PinSource, PinSource];
}

export interface Pins {
  core: Pin<NodeImages["bitcoin"]> | null;
  knots: Pin<NodeImages["bitcoin"]> | null;
  lnd: Pin<string> | null;
  lnbits: Pin<string> | null;
}

export const PINS: Pins = {
  core: {
    version: "31.1",
    value: {
      x86_64: {
        url: "https://bitcoincore.org/bin/bitcoin-core-31.1/bitcoin-31.1-x86_64-linux-gnu.tar.gz",
        sha256: "b80d9c3e04da78fb6f0569685673418cf686fadba9042d926d13fb87ff503f9e",
      },
      aarch64: {
        url: "https://bitcoincore.org/bin/bitcoin-core-31.1/bitcoin-31.1-aarch64-linux-gnu.tar.gz",
        sha256: "dcf1873f2208ba4f962f3398d47e154c39c0084be8f4553e05c940d0ace3d004",
      },
    },
    // The first holds what 15 people built, each for himself, from the source and signed.
    sources: [
      {
        repository: "bitcoin-core/guix.sigs",
        commit: "3f072b34a069b4e3a1aa42bd82070eb2f98247c8",
        path: "31.1/*/all.SHA256SUMS",
      },
      {
        repository: "jvxis/brln-os-light",
        commit: "1587452a0d9c525a98becf3e99407a9c7f96868d",
        path: "lightningos-light/internal/appmanifest/bitcoincore.go",
      },
    ],
  },
  knots: null,
  lnd: {
    version: "v0.21.1-beta",
    value: "lightninglabs/lnd:v0.21.1-beta@sha256:4af8f9bbf98c8b86b0e54b065d6ea45d1387256a43fa9270c11ef849511abae0",
    sources: [
      {
        repository: "getumbrel/umbrel-apps",
        commit: "c94779142fff00a2d47d4e396938813bdc783013",
        path: "lightning/docker-compose.yml",
      },
      {
        repository: "h4vismat/nigiri-rs",
        commit: "0e495a72eac119488e1add94141983d322f34d31",
        path: "crates/nigiri-rs-fixtures/src/image.rs",
      },
    ],
  },
  lnbits: {
    version: "v1.5.6",
    value: "lnbits/lnbits:v1.5.6@sha256:6e37fbf9b847c066d7e022e19a018b3df7f12602a370f117857165d36bfb165b",
    sources: [
      {
        repository: "getumbrel/umbrel-apps",
        commit: "f0d34bf6d706fbd1da1b2424619650b5a554087a",
        path: "lnbits/docker-compose.yml",
      },
      {
        repository: "jvxis/brln-os-light",
        commit: "b0e0338910f1f8913c3ab56fc8b1416ec1dacc4c",
        path: "lightningos-light/internal/appmanifest/lnbits.go",
      },
    ],
  },
};

/**
 * What a node with this Bitcoin implementation is made of.
 * @throws {RangeError} `not pinned: …` naming what has no pin
 */
export function pinnedImages(implementation: "core" | "knots", pins: Pins = PINS): NodeImages {
  const value = <Value>(name: keyof Pins, pin: Pin<Value> | null): Value => {
    if (pin === null) throw new RangeError(`not pinned: ${name}. No two unrelated sources agree on its checksum.`);
    return pin.value;
  };
  return {
    bitcoin: value(implementation, pins[implementation]),
    lnd: value("lnd", pins.lnd),
    lnbits: value("lnbits", pins.lnbits),
  };
}
