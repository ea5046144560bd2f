import { Refused } from "./verdict.ts";
import { parseCertificate } from "./x509.ts";

const ENTRY_BYTES = 24;
const GUID_BYTES = 16;
const MAX_ENTRIES = 16;

/**
 * The certificates in the table that an SEV-SNP host gives its guest ("GHCB Standardization", AMD 56421, §4.1.8.1): entries of a GUID,
 * an offset and a length, little endian, up to a GUID of zeros. Which is which is told by what a certificate says, not by its GUID;
 * what is no certificate (a list, facts about the platform) is left out.
 * @throws {Refused}
 */
export function certificatesInTable(table: Uint8Array): Uint8Array[] {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  const found: Uint8Array[] = [];
  for (let at = 0; at + GUID_BYTES <= table.length; at += ENTRY_BYTES) {
    if (table.subarray(at, at + GUID_BYTES).every((byte) => byte === 0)) return found;
    if (at + ENTRY_BYTES > table.length || at >= MAX_ENTRIES * ENTRY_BYTES) break;
    const [offset, length] = [view.getUint32(at + GUID_BYTES, true), view.getUint32(at + GUID_BYTES + 4, true)];
    if (offset + length > table.length) break;
    const bytes = table.subarray(offset, offset + length);
    if (isCertificate(bytes)) found.push(bytes);
  }
  throw new Refused("malformed", "the host's table of certificates is not one");
}

function isCertificate(bytes: Uint8Array): boolean {
  try {
    return parseCertificate(bytes) !== null;
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}
