const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const BECH32 = /^[a-z0-9]+$/i;

/**
 * The value of the first `WWW-Authenticate` line of a 402 (wire.md §2): parameters and order that every L402 client in use
 * parses, `macaroon` for the old ones, `version` and `token` for the new.
 * @param input.macaroon base64, standard alphabet, padded
 * @param input.invoice the BOLT11 payment request
 * @throws {RangeError} when either holds anything else: a quote in it would end the parameter, and it comes from a wallet
 */
export function challengeHeader({ macaroon, invoice }: { macaroon: string; invoice: string }): string {
  if (!BASE64.test(macaroon)) throw new RangeError("the challenge's macaroon is not base64");
  if (!BECH32.test(invoice)) throw new RangeError("the challenge's invoice is not a BOLT11 payment request");
  return `L402 macaroon="${macaroon}", invoice="${invoice}", version="0", token="${macaroon}"`;
}
