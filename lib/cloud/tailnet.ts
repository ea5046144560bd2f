/** What Timmy needs from a private network (Tailscale): one auth key a node, with which the node joins by itself. */

export interface AuthKeyOrder {
  /** Names the key: letters, digits, blanks and hyphens, at most 50 characters. {@link Tailnet.findKeys} looks for it. */
  description: string;
  /** Tags the node gets, each `tag:…`; at least one, so that the node belongs to nobody and its membership never expires. */
  tags: string[];
  /** Seconds until the key opens nothing any more (a node that has joined stays), 1 to 90 days' worth. */
  expirySeconds: number;
}

export interface AuthKey {
  /** Names the key to the provider; opens nothing. */
  id: string;
  /** The secret. It is told once, in this answer, and can never be asked for again. */
  key: string;
}

export interface Tailnet {
  /** e.g. "simulated", "tailscale". */
  readonly name: string;
  /** True when the keys open no real network. */
  readonly simulated: boolean;

  /**
   * Makes a key: used once, preauthorized, tagged, its node stays when it goes offline (not ephemeral).
   *
   * **Not repeatable**: each call makes another key, because the secret of the first is never told again. When the answer
   * was lost, {@link findKeys} the description, {@link revoke} what is there, and make a new one; the lost secret was seen by
   * nobody and expires.
   * @throws {CloudError} whose `message` never holds the key.
   */
  createKey(order: AuthKeyOrder): Promise<AuthKey>;

  /**
   * The ids of the keys with exactly this description that are still good: neither revoked nor expired. Several after
   * lost answers. All or an error. @throws {CloudError}
   */
  findKeys(description: string): Promise<string[]>;

  /** Ends a key; a node that has joined with it stays. May be repeated; a key that is not there counts as done. @throws {CloudError} */
  revoke(id: string): Promise<void>;
}
