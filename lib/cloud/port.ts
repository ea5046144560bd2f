/**
 * What Timmy needs from a cloud provider: SSH keys, volumes and machines, each made once and found again by its name.
 * An adapter (simulated, DigitalOcean) implements it; the contract suite in `cloud.contract.ts` runs against each.
 *
 * **Names make a step findable.** A resource's name is chosen by the caller before the first call and never used for
 * anything else. Providers refuse a second volume or SSH key, but not a second machine of one name, so `ensure` looks first,
 * creates second and looks again: of two machines the older one is the answer to everybody, and the call that made the
 * newer one ends it, also when two programs order at the same moment.
 */

export type ResourceKind = "ssh-key" | "volume" | "machine";

export interface Resource {
  kind: ResourceKind;
  /** The provider's id: digits (machine, SSH key) or a UUID (volume). */
  id: string;
  name: string;
  /** Empty for an SSH key: providers have no tags for those. */
  tags: string[];
  /** The region's short name, e.g. `nyc3`; null for an SSH key. */
  region: string | null;
  /** Milliseconds since the epoch, as the provider tells it; null when it does not (SSH key). */
  createdAt: number | null;
  /** A machine's public address; null until it has one, and for everything else. */
  ipv4: string | null;
  /**
   * `pending`: being made; a machine may have its address by then. `active`: there.
   * `errored`: the provider gave up on it, for good; it still exists and must be destroyed. Looking again cannot help.
   */
  state: "pending" | "active" | "errored";
  /** The volumes attached to a machine. Empty for everything else. */
  volumeIds: string[];
}

/** What {@link Cloud.ensure} makes. Names: letters, digits, `-`; a volume's starts with a letter, at most 64 characters. */
export type Order =
  | {
    kind: "ssh-key";
    name: string;
    /** `type base64`, without or with a comment. */
    publicKey: string;
  }
  | {
    kind: "volume";
    name: string;
    tags: string[];
    region: string;
    /** GiB. It is formatted with ext4 when it is made. */
    sizeGb: number;
  }
  | {
    kind: "machine";
    name: string;
    tags: string[];
    region: string;
    /** The provider's short name of a machine type, e.g. `s-4vcpu-8gb`. */
    size: string;
    sshKeyIds: string[];
    /** Attached at creation: they must lie in the same region and be attached to nothing. */
    volumeIds: string[];
    /** Cloud-init user data, at most 64 KiB. Holds secrets: no adapter logs it or puts it into an error. */
    userData: string;
  };

/**
 * Why the account would not give what is wanted.
 * - `size`, `region`: nobody sells that size there, or there is no such region; trying later rarely helps.
 * - `quota`: the account's limit of machines or volumes is reached. `account`: locked or not verified.
 */
export interface Refusal {
  code: "size" | "region" | "quota" | "account";
  /** Whole sentence for the payer: no account name, no token, no inner address, no number of the account's own. */
  message: string;
}

export interface Cloud {
  /** e.g. "simulated", "digitalocean": for the start-up summary and readiness. */
  readonly name: string;
  /** True when no real machine is made. */
  readonly simulated: boolean;

  /**
   * What the account would refuse at this moment, before anybody pays: limits minus what exists, and whether the size is
   * sold in the region. The limits are at most 5 s old. `null` is no promise: another order may take the last place.
   * @param want.volumeGb 0 for no volume.
   * @throws {CloudError} when the provider did not answer.
   */
  refusal(want: { region: string; size: string; volumeGb: number }): Promise<Refusal | null>;

  /**
   * The resource of this name: found if it exists, made otherwise. May be repeated with the same order until it answers,
   * also after a lost answer or a crash, and several times at once in one process.
   * - A machine is found by its name, a volume by name and region. One without the order's **first tag** is somebody else's:
   *   it is not touched, and the call fails as retryable, since tags can come a moment after the resource.
   * - An SSH key is found by the key itself, as an account holds each public key once. It may have **another name** then,
   *   that of another order with the same key: only whoever finds its own name on it may destroy it.
   * - What is found is taken as it is: its size, user data and other tags are not compared.
   *
   * It answers as soon as the provider accepted the order: follow `pending` with {@link look}. After an error the resource may or
   * may not exist; only another `ensure` or {@link list} tells. After a lost answer `ensure` creates no machine for some seconds
   * (it fails as retryable, with the pause to make), because the lost order may still be carried out.
   * @throws {CloudError}
   */
  ensure(order: Order): Promise<Resource>;

  /**
   * The resource as the provider knows it. Null only when the provider itself answered 404: it does not exist (any more).
   * A machine may still be listed for a moment after it was destroyed, and answers 404 some seconds later.
   * @throws {CloudError} when it did not answer; nothing is known then.
   */
  look(kind: ResourceKind, id: string): Promise<Resource | null>;

  /**
   * Everything that is ours: machines and volumes with this tag, and the SSH keys whose name is the tag or begins with
   * it and a hyphen (`timmy` lists the keys `timmy-…`). All pages or none: an incomplete list is an error.
   * @throws {CloudError} when any part of it was not answered.
   */
  list(tag: string): Promise<Resource[]>;

  /** Adds a tag to a machine or a volume, making the tag first where there is none. May be repeated. @throws {CloudError} */
  tag(kind: "machine" | "volume", id: string, tag: string): Promise<void>;

  /**
   * Asks for the end of a resource. May be repeated; one that does not exist counts as done. A volume that is still attached
   * is detached first, and the call then fails as `retryable` until that has happened: destroy its machine, then repeat.
   * **Done is told by {@link look} alone**: the answer here only says that the provider took the order.
   * @throws {CloudError}
   */
  destroy(kind: ResourceKind, id: string): Promise<void>;
}

/**
 * The provider could not do what was asked, or nobody knows whether it did.
 * `message` is safe to show to the payer: no token, no key, no inner address, no user data.
 */
export class CloudError extends Error {
  override name = "CloudError";
  /**
   * @param retryable false when repeating the same call cannot help: 401, 403, 422, an order that is not valid. After 429,
   * 5xx, a cut or late answer and an answer nobody understands it is true.
   * @param retryAfterMs how long the provider asked to wait (ms), or null when it did not say. At most an hour.
   */
  constructor(message: string, readonly retryable: boolean, readonly retryAfterMs: number | null = null) {
    super(message);
  }
}
