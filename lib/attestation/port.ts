/** What the hardware below this machine says, in its own form. */
export interface Quote {
  kind: "sev-snp" | "tdx" | "nitro" | "simulated";
  /** A report, a quote or a document. */
  quote: Uint8Array;
  /** The table of certificates that an SEV-SNP host may hand over with its report. */
  certificates: Uint8Array | null;
}

/** What an instance knows of itself and can have the hardware say. */
export interface Attestor {
  /** SHA-256 of the program's file as it lies on the disk, in hex; `unknown` from source, or where it may not be read. */
  buildHash(): Promise<string>;
  /** SHA-256 of the SubjectPublicKeyInfo of the TLS key in front of the instance, in hex; null when it has none of its own. */
  tlsKeyHash: string | null;
  /**
   * Evidence with these 64 bytes in it; null on a machine without a TEE.
   * Rejects with a HelperError when there should be one and it does not answer.
   */
  quote(reportData: Uint8Array): Promise<Quote | null>;
}
