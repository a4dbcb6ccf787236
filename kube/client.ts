import type { Dispatcher } from 'undici';
import { ApiError, errorOfAnswer } from './api-error.ts';
import { ACCOUNT_DIR, accountCredentials, type CredentialSource } from './credentials.ts';
import type { KubeObject } from './object.ts';
import { createPacer, type Pacer, resourceOfPath } from './pace.ts';
import { type Line, openSession, type Session } from './session.ts';

export interface KubeRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
  /** Until the whole answer (`call`) or its headers (`open`) are here; default 30 s. */
  readonly timeoutMs?: number;
}

/** An answer that goes on: its caller reads it, or destroys it. */
export interface KubeStream {
  readonly body: AsyncIterable<Buffer>;
  readonly destroy: () => void;
}

export interface KubeClient {
  /** The account's own namespace or the kubeconfig context's; `default` where neither says. */
  readonly namespace: string;
  /** `https://host:port` of the API server. */
  readonly server: string;
  /** JSON in, JSON out. Every failure is an ApiError: no answer at all has status 0. */
  readonly call: <T = KubeObject>(request: KubeRequest) => Promise<T>;
  /** The raw answer, for watches. Fails as `call` does until the headers are here; then the body's iteration fails. */
  readonly open: (request: KubeRequest) => Promise<KubeStream>;
  /** A watch of this path was told 410 or 429 inside its stream: its resource is asked for more slowly for a while. */
  readonly troubled: (path: string) => void;
  /** A connection turned out to be half open: none of those there are is used for a further call. */
  readonly suspect: () => void;
  /** Ends every call and connection. */
  readonly close: () => Promise<void>;
}

export interface ClientOptions {
  readonly kubeconfig?: string | undefined;
  readonly serviceAccountDir?: string | undefined;
  readonly env: Record<string, string | undefined>;
  /** Monotonic, in ms: when credentials are read again. */
  readonly clock?: () => number;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/**
 * A client for the API server named by the kubeconfig option, else by KUBECONFIG, else by the pod's own account.
 * It sends nothing yet: an API server that is away does not hold up a start. Throws an Error that names the file
 * when credentials cannot be read.
 */
export async function openClient(options: ClientOptions): Promise<KubeClient> {
  const session = await openSession(await credentialSource(options), options.clock ?? (() => performance.now()));
  const pacer = createPacer();
  return {
    namespace: session.current().credentials.namespace,
    server: session.current().credentials.server,
    call: (request) => withDeadline(session, request, (signal) => callJson(session, pacer, request, signal)),
    open: (request) => openStream(session, pacer, request),
    suspect: session.suspect,
    troubled: (path) => pacer.trouble(resourceOfPath(path)),
    close: session.close,
  };
}

async function credentialSource({ kubeconfig, serviceAccountDir, env }: ClientOptions): Promise<CredentialSource> {
  const path = kubeconfig || env['KUBECONFIG'];
  if (!path) {
    return accountCredentials(serviceAccountDir || env['SLUICE_SERVICE_ACCOUNT_DIR'] || ACCOUNT_DIR, env);
  }
  const { kubeconfigCredentials } = await import('./kubeconfig.ts');
  return kubeconfigCredentials(path);
}

async function callJson<T>(session: Session, pacer: Pacer, request: KubeRequest, signal: AbortSignal): Promise<T> {
  const { body, headers } = await send(session, pacer, request, signal);
  const text = await body.text();
  try {
    return JSON.parse(text) as T;
  } catch {
    // The parser's own message quotes the body, which may be a Secret.
    const type = String(headers['content-type'] ?? 'no content-type');
    throw new ApiError(0, 'InvalidBody', `${nameOf(request)}: the answer is not JSON (${type}, ${text.length} bytes)`);
  }
}

async function openStream(session: Session, pacer: Pacer, request: KubeRequest): Promise<KubeStream> {
  const ended = new AbortController();
  const end = (): void => ended.abort(new ApiError(0, 'Aborted', `${nameOf(request)}: aborted`));
  request.signal?.addEventListener('abort', end, { once: true });
  try {
    const { body } = await withDeadline(session, request, (signal) => {
      signal.addEventListener('abort', () => ended.abort(signal.reason), { once: true });
      return send(session, pacer, request, ended.signal);
    });
    body.on('error', () => undefined);
    body.on('close', () => request.signal?.removeEventListener('abort', end));
    return { body, destroy: () => body.destroy() };
  } catch (error) {
    request.signal?.removeEventListener('abort', end);
    throw error;
  }
}

/** Runs a call under the request's own signal and its timeout, and turns whatever fails into an ApiError. */
async function withDeadline<T>(
  session: Session,
  request: KubeRequest,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const where = nameOf(request);
  const abort = (): void => controller.abort(new ApiError(0, 'Aborted', `${where}: aborted`));
  const expire = (): void => {
    session.suspect();
    controller.abort(new ApiError(0, 'Timeout', `${where}: no answer within ${timeoutMs} ms`));
  };
  const timer = setTimeout(expire, timeoutMs);
  // undici gives up a call that waits for its connection only when that fails, which may take seconds.
  const aborted = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason), { once: true });
  });
  request.signal?.addEventListener('abort', abort, { once: true });
  if (request.signal?.aborted) abort();
  try {
    return await Promise.race([run(controller.signal), aborted]);
  } catch (error) {
    if (controller.signal.aborted) throw controller.signal.reason;
    if (error instanceof ApiError) throw error;
    throw new ApiError(0, 'Unreachable', `${where}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener('abort', abort);
  }
}

/** Sends one request; 401 re-reads the credentials and tries once more. Resolves only with a status below 300. */
async function send(
  session: Session,
  pacer: Pacer,
  request: KubeRequest,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const resource = resourceOfPath(request.path);
  await pacer.turn(resource, signal);
  const line = await session.fresh();
  let answer = await dispatch(line, request, signal);
  if (answer.statusCode === 401) {
    const renewed = await session.renew(line);
    if (renewed) {
      await answer.body.dump();
      answer = await dispatch(renewed, request, signal);
    }
  }
  const { statusCode, headers, body } = answer;
  if (statusCode === 410 || statusCode === 429) pacer.trouble(resource);
  if (statusCode < 300) return answer;
  const retryAfter = headers['retry-after'];
  throw errorOfAnswer(
    nameOf(request),
    statusCode,
    retryAfter === undefined ? undefined : String(retryAfter),
    await body.text(),
  );
}

function dispatch(
  { credentials, agent }: Line,
  request: KubeRequest,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const url = new URL(credentials.server + request.path);
  for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, value);
  const headers: Record<string, string> = {
    ...credentials.headers,
    accept: 'application/json',
    'user-agent': 'sluice',
  };
  if (request.body !== undefined) headers['content-type'] = request.contentType ?? 'application/json';
  return agent.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: request.method ?? 'GET',
    headers,
    signal,
    ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
  });
}

function nameOf(request: KubeRequest): string {
  return `${request.method ?? 'GET'} ${request.path}`;
}
