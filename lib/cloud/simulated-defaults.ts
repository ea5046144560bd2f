/** What the simulated cloud takes in time, and what it sells. */

/** How long things take (ms). */
export interface SimulatedTimes {
  /** Each call. */
  callMs: number;
  /** Until a machine has its address, and until it is active. */
  addressMs: number;
  activeMs: number;
  /** From then until its node reports. */
  firstBootMs: number;
  /** The first pause after a report that was not taken; it doubles, up to {@link MAX_REPORT_PAUSE_MS}. */
  reportRetryMs: number;
  /** From the order to end a machine until it is gone. */
  endMs: number;
}

export interface SimulatedAccount {
  locked: boolean;
  maxMachines: number;
  maxVolumes: number;
  regions: readonly string[];
  sizes: readonly string[];
}

export const TIMES: SimulatedTimes = {
  callMs: 50,
  addressMs: 4_000,
  activeMs: 12_000,
  firstBootMs: 30_000,
  reportRetryMs: 5_000,
  endMs: 3_000,
};
export const ACCOUNT: SimulatedAccount = {
  locked: false,
  maxMachines: 1_000,
  maxVolumes: 1_000,
  regions: ["nyc1", "nyc3", "sfo3", "ams3", "fra1", "lon1", "sgp1", "tor1", "blr1", "syd1"],
  sizes: ["s-2vcpu-4gb", "s-4vcpu-8gb", "s-4vcpu-16gb-amd", "s-8vcpu-16gb", "g-2vcpu-8gb", "g-4vcpu-16gb"],
};
export const MAX_REPORT_PAUSE_MS = 60_000;
