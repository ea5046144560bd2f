/**
 * The `#cloud-config` that makes the node. The scripts are files of their own, written as they are; the order's values
 * reach them through one environment file.
 */
import { stringify } from "yaml";
import { authorizedKey, nodeEnv, type NodeOrder } from "./node-order.rules.ts";
import { pinnedImages, PINS, type Pins } from "./pins.ts";
import lib from "./files/lib.sh" with { type: "text" };
import firstBoot from "./files/first-boot.sh" with { type: "text" };
import report from "./files/report.sh" with { type: "text" };
import ops from "./files/ops.sh" with { type: "text" };
import nodeUnit from "./files/timmy-node.service" with { type: "text" };
import bitcoindUnit from "./files/timmy-bitcoind.service" with { type: "text" };

export type { NodeOrder } from "./node-order.rules.ts";

/** What DigitalOcean takes. */
const MAX_BYTES = 64 * 1024;

const file = (path: string, permissions: string, content: string) => ({
  path,
  owner: "root:root",
  permissions,
  content,
});

/**
 * The user data of a node. Nothing in it is random: the same order gives the same text, and the node makes its own secrets.
 * @param pins what may run on a node; another table is for tests only
 * @param maxBytes what the provider takes: 64 KiB
 * @returns `#cloud-config`, YAML 1.1
 * @throws {RangeError} naming the field that is not of its form; `not pinned: …` for an image that is not in `pins`
 */
export function nodeUserData(order: NodeOrder, pins: Pins = PINS, maxBytes = MAX_BYTES): string {
  refuseUnpinned(order, pins);
  const config = {
    hostname: order.name,
    preserve_hostname: false,
    manage_etc_hosts: "localhost",
    disable_root: false,
    ssh_pwauth: false,
    users: [{ name: "root", lock_passwd: false, ssh_authorized_keys: [authorizedKey(order.sshPublicKey)] }],
    write_files: [
      file("/opt/timmy-node/node.env", "0600", nodeEnv(order)),
      file("/opt/timmy-node/lib.sh", "0644", lib),
      file("/opt/timmy-node/first-boot.sh", "0755", firstBoot),
      file("/opt/timmy-node/report.sh", "0755", report),
      file("/opt/timmy-node/ops.sh", "0755", ops),
      file("/etc/systemd/system/timmy-node.service", "0644", nodeUnit),
      file("/etc/systemd/system/timmy-bitcoind.service", "0644", bitcoindUnit),
    ],
    // Not waited for: it takes longer than cloud-init may.
    runcmd: [
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "timmy-node.service"],
      ["systemctl", "start", "--no-block", "timmy-node.service"],
    ],
  };
  // cloud-init reads YAML 1.1, in which a bare 0600 is a number and a bare `no` a boolean.
  const text = `#cloud-config\n${stringify(config, { version: "1.1", lineWidth: 0 })}`;
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > maxBytes) throw new RangeError(`the user data has ${bytes} bytes, at most ${maxBytes} are taken`);
  return text;
}

/** What a payer's node runs is what was looked up and written down, whatever the caller names. */
function refuseUnpinned({ implementation, images }: NodeOrder, pins: Pins): void {
  const { bitcoin, lnd, lnbits } = pinnedImages(implementation, pins);
  for (const [named, pinned] of [[images.lnd, lnd], [images.lnbits, lnbits]] as const) {
    if (named !== pinned) throw new RangeError(`not pinned: ${named}`);
  }
  for (const architecture of ["x86_64", "aarch64"] as const) {
    const { url, sha256 } = images.bitcoin[architecture];
    if (url !== bitcoin[architecture].url || sha256 !== bitcoin[architecture].sha256) {
      throw new RangeError(`not pinned: ${url}`);
    }
  }
}
