/** The version of this program, as in CHANGELOG.md; a test compares them. */
export const VERSION = "0.1.0";
/** The commit it was built from; a release build writes it here. */
export const COMMIT = "unknown";
