/** What a failed call to the API server says. Nothing of a request's credentials or of an object's data is ever in it. */
export class ApiError extends Error {
  /**
   * The HTTP status; 0 when no answer came (reason Unreachable, Timeout, Aborted) or none that can be used (InvalidBody;
   * in a watch also Regressed).
   */
  readonly status: number;
  /** The Status body's own reason (NotFound, Conflict, Expired, …), or one of those above; HTTP502 and the like without one. */
  readonly reason: string;
  /** How long the API server asks to wait, by Retry-After or by the Status body; undefined when it does not say. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfterMs?: number) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The error that an answer of status ≥ 400 stands for. `where` is the call, as `GET /api/v1/pods`. */
export function errorOfAnswer(where: string, status: number, retryAfter: string | undefined, body: string): ApiError {
  const told = statusOf(body);
  const retryAfterMs = secondsToMs(retryAfter) ?? secondsToMs(told.retryAfterSeconds);
  // A proxy on the way may answer with a page of HTML: its text helps nobody and may hold anything.
  const message = told.message ?? `answered ${status} without a Status body`;
  return new ApiError(status, told.reason ?? `HTTP${status}`, `${where}: ${message}`, retryAfterMs);
}

/**
 * The error that the Status object of a watch's ERROR event stands for. But for 410 and 429 its reason is WatchError:
 * a fault of the watch itself, after which only a new list is safe.
 */
export function errorOfStatus(where: string, object: unknown): ApiError {
  const told = statusFields(object);
  const code = told.code ?? 500;
  const message = `${where}: ${told.message ?? 'the API server ended the watch with an error'}`;
  const reason = code === 410 || code === 429 ? (told.reason ?? `HTTP${code}`) : 'WatchError';
  return new ApiError(code, reason, message, secondsToMs(told.retryAfterSeconds));
}

interface Told {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly retryAfterSeconds?: number;
}

function statusOf(body: string): Told {
  try {
    return statusFields(JSON.parse(body));
  } catch {
    return {};
  }
}

function statusFields(object: unknown): Told {
  if (typeof object !== 'object' || object === null) return {};
  const { code, reason, message, details } = object as Record<string, unknown>;
  const seconds = (details as { retryAfterSeconds?: unknown } | null | undefined)?.retryAfterSeconds;
  return {
    ...(typeof code === 'number' && { code }),
    ...(typeof reason === 'string' && reason !== '' && { reason }),
    ...(typeof message === 'string' && message !== '' && { message }),
    ...(typeof seconds === 'number' && { retryAfterSeconds: seconds }),
  };
}

function secondsToMs(seconds: string | number | undefined): number | undefined {
  if (seconds === undefined || seconds === '') return undefined;
  const value = Number(seconds);
  return Number.isFinite(value) && value >= 0 ? value * 1000 : undefined;
}
