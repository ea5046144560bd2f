/** The first words a new machine reads: cloud-init's user data. */
export interface NodeOrder {
  name: string;
  sshPublicKey: string;
  tailscaleAuthKey: string | null;
  volumeName: string | null;
  report: { url: string; token: string };
}

export const nodeUserData = ({ name, sshPublicKey, report }: NodeOrder): string =>
  `#cloud-config\nhostname: ${name}\nssh_authorized_keys: [${JSON.stringify(sshPublicKey)}]\n` +
  `# TIMMY_REPORT_URL='${report.url}'\n# TIMMY_REPORT_TOKEN='${report.token}'\n`;
