/** Errors below /api/v1 have the shape that OpenAI's clients read (wire.md §4). */

/** The body of an error as OpenAI's clients expect it; `requestId` and `details` are ours beside it. */
interface OpenAiErrorBody {
  error: {
    message: string;
    type: string;
    param: string | null;
    code: string;
    requestId: string;
    details?: Record<string, unknown>;
  };
}

/** Where the OpenAI-compatible routes lie. `/v1`, as other servers have it, is the same (lib/http/create-app.ts). */
export const OPENAI_PATH = "/api/v1";
const TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  402: "payment_required",
  403: "permission_error",
  408: "timeout_error",
  409: "conflict_error",
  429: "rate_limit_error",
  500: "server_error",
  502: "server_error",
  503: "server_error",
};

export const isOpenAiPath = (path: string): boolean => path === OPENAI_PATH || path.startsWith(`${OPENAI_PATH}/`);

/** The same error in OpenAI's shape: `param` is the first field that is wrong. */
export function openAiErrorBody(
  status: number,
  { error }: {
    error: { code: string; message: string; requestId: string; details?: Record<string, unknown> | undefined };
  },
): OpenAiErrorBody {
  const { code, message, requestId, details } = error;
  return {
    error: {
      message,
      type: TYPES[status] ?? "invalid_request_error",
      param: firstField(details),
      code,
      requestId,
      ...(details && { details }),
    },
  };
}

function firstField(details: Record<string, unknown> | undefined): string | null {
  const fields = details?.fields;
  const first = Array.isArray(fields) ? fields[0] as { field?: unknown } | undefined : undefined;
  return typeof first?.field === "string" && first.field !== "" ? first.field : null;
}
