import { behaviourContract } from "./contract/behaviour.contract.ts";
import { failuresContract } from "./contract/failures.contract.ts";
import { groupsContract } from "./contract/groups.contract.ts";
import { hooksContract } from "./contract/hooks.contract.ts";
import { isolationContract } from "./contract/isolation.contract.ts";
import { valuesContract } from "./contract/values.contract.ts";
import { volatileContract } from "./contract/volatile.contract.ts";
import type { OpenDatabase } from "./testing/bench.ts";

export { storeProperty } from "./contract/property.contract.ts";

/** Everything a store over this engine must keep, whatever the engine does. Registers one test for each criterion. */
export function storeContract(name: string, openDatabase: OpenDatabase): void {
  isolationContract(name, openDatabase);
  groupsContract(name, openDatabase);
  valuesContract(name, openDatabase);
  volatileContract(name, openDatabase);
  hooksContract(name, openDatabase);
  failuresContract(name, openDatabase);
  behaviourContract(name, openDatabase);
}
