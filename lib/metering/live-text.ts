/**
 * Text while it is being generated: in memory only, since a task that dies writes it anew. Whoever joins late gets what
 * there is so far.
 */
export interface LiveText {
  /** True while somebody follows. */
  followed(handle: string): boolean;
  /** A run begins: what an earlier run of the same record wrote is void. */
  begin(handle: string): void;
  append(handle: string, piece: string): void;
  /** The run is over; followers keep what they have. */
  end(handle: string): void;
  /**
   * Calls `onPiece` with what there is so far and with every piece after it; `onRestart` when it begins anew.
   * @returns a function that ends it.
   */
  follow(handle: string, onPiece: (piece: string) => void, onRestart: () => void): () => void;
}

/** Text kept for those who join late, per record (characters). */
const MAX_KEPT = 256 * 1024;

interface Follower {
  onPiece(piece: string): void;
  onRestart(): void;
  /** It was given something of the present run. */
  told: boolean;
}

export function createLiveText(): LiveText {
  const texts = new Map<string, string>();
  const followers = new Map<string, Set<Follower>>();
  const tell = (follower: Follower, piece: string) => {
    follower.told = true;
    follower.onPiece(piece);
  };

  return {
    followed: (handle) => followers.has(handle),
    begin(handle) {
      for (const follower of followers.get(handle) ?? []) {
        if (follower.told) follower.onRestart();
        follower.told = false;
      }
      texts.set(handle, "");
    },
    append(handle, piece) {
      const before = texts.get(handle);
      if (before === undefined || before.length + piece.length > MAX_KEPT) return;
      texts.set(handle, before + piece);
      for (const follower of followers.get(handle) ?? []) tell(follower, piece);
    },
    end: (handle) => void texts.delete(handle),
    follow(handle, onPiece, onRestart) {
      const follower: Follower = { onPiece, onRestart, told: false };
      const others = followers.get(handle) ?? new Set();
      followers.set(handle, others.add(follower));
      const soFar = texts.get(handle);
      if (soFar) tell(follower, soFar);
      return () => {
        others.delete(follower);
        if (others.size === 0 && followers.get(handle) === others) followers.delete(handle);
      };
    },
  };
}
