/** Evidence of an AWS Nitro enclave: one ioctl on `/dev/nsm` (aws-nitro-enclaves-nsm-api, nsm-lib). */
import { decode, encode } from "cborg";
import type { Quote } from "./port.ts";

export const NSM_DEVICE = "/dev/nsm";
/** The largest answer of the device (bytes). */
const MAX_RESPONSE = 0x3000;

/** The device does not answer as it should. */
export class NsmError extends Error {
  override name = "NsmError";
}

/** CBOR of the question: the 64 bytes as user data. */
export const nsmRequest = (reportData: Uint8Array): Uint8Array =>
  encode({ Attestation: { user_data: reportData, nonce: null, public_key: null } });

/** The document in the device's answer. @throws {NsmError} */
export function nsmDocument(response: Uint8Array): Quote {
  const answer = decode(response) as { Attestation?: { document?: unknown }; Error?: unknown };
  const document = answer.Attestation?.document;
  if (document instanceof Uint8Array) return { kind: "nitro", quote: document, certificates: null };
  throw new NsmError(`${NSM_DEVICE} answered ${typeof answer.Error === "string" ? answer.Error : "something else"}`);
}

/** @param exchange one ioctl: CBOR in, CBOR out */
export function nsmQuote(reportData: Uint8Array, exchange: (request: Uint8Array) => Uint8Array = ioctl): Quote {
  return nsmDocument(exchange(nsmRequest(reportData)));
}

/** `_IOWR(0x0a, 0, struct nsm_message)`: two iovecs of 16 bytes. */
const NSM_IOCTL = 0xc0200a00n;
const O_RDWR = 2;

/**
 * Needs FFI, and so every permission: only the helper calls it. Not tried on an enclave.
 * On Linux of x86-64 and aarch64 a variadic C function takes its arguments as any other.
 */
function ioctl(request: Uint8Array): Uint8Array {
  const libc = Deno.dlopen("libc.so.6", {
    open: { parameters: ["buffer", "i32"], result: "i32" },
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  });
  const path = new TextEncoder().encode(`${NSM_DEVICE}\0`);
  const fd = libc.symbols.open(path, O_RDWR);
  if (fd < 0) throw new NsmError(`${NSM_DEVICE} cannot be opened`);
  try {
    const asked = new Uint8Array(request);
    const response = new Uint8Array(MAX_RESPONSE);
    const address = (bytes: Uint8Array<ArrayBuffer>) => BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
    const message = new BigUint64Array([
      address(asked),
      BigInt(asked.length),
      address(response),
      BigInt(response.length),
    ]);
    if (libc.symbols.ioctl(fd, NSM_IOCTL, message) !== 0) throw new NsmError(`${NSM_DEVICE} refused the question`);
    return response.subarray(0, Number(message[3]));
  } finally {
    libc.symbols.close(fd);
    libc.close();
  }
}
