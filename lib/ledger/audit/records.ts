import { getBootstrap } from "@/lib/bootstrap/bootstrap.rows.ts";
import { getJob } from "@/lib/jobs/jobs.rows.ts";
import { getSession } from "@/lib/sessions/sessions.rows.ts";
import type { Reader } from "@/lib/store/store.ts";

/** When the session, job or bootstrap of this handle was made (ms since the epoch). */
export const recordMadeAt = async (reader: Reader, handle: string): Promise<number | null> =>
  (await getSession(reader, handle) ?? await getJob(reader, handle) ?? await getBootstrap(reader, handle))?.createdAt ??
    null;
