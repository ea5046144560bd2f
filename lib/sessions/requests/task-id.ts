import type { Lease } from "@/lib/tasks/due.ts";

/** The id of the task that answers a request. */
export const taskIdOf = (session: string, request: string): string => `${session}.${request}`;

/** Whom a task is about. */
export const namesIn = (lease: Lease): [session: string, request: string] =>
  lease.id.split(".") as [session: string, request: string];
