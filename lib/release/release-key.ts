/** Public halves of the keys whose releases this program takes. README prints them too, for who has no binary yet. */
export interface ReleaseKey {
  name: string;
  /** `RW…`, for `minisign -P`. */
  minisign: string;
  /** Uncompressed point on P-256, in hex. `lib/release/secret-key.ts` makes this key of the other. */
  ecdsa: string;
  /** Everybody has its secret. */
  test: boolean;
}

/**
 * There is no other key than the test key so far. `deno task release` prints the entry of a real one; when it comes, the test key goes, or a
 * stranger's build passes for a release.
 */
export const RELEASE_KEYS: readonly ReleaseKey[] = [
  {
    name: "test key",
    minisign: "RWRURVNUdGVzdCAtVFQd9/B5PXGveitbPJKeZHf9NJtNvW2ROQrWQis9",
    ecdsa:
      "04d1b272b417e4d6fb080e211dc15b98beb8be3c5d5fe5a7c1a1f9f86113134b1c8efba684eec3399b6f84a4f60871a841047c180a488209a3bdc52116f136b5a1",
    test: true,
  },
];
