/** The version of this program, as in CHANGELOG.md; a test compares them. */
export const VERSION = "0.1.0";

/** The commit a binary was made from (40 hex digits, with `-modified` where files differed from it). `tasks/bundle.ts` puts it here. */
export const COMMIT = "unknown";
