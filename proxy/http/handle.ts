import type { IncomingMessage, ServerResponse } from 'node:http';
import { stopAlarm } from '../alarm.ts';
import { endCall } from '../call.ts';
import { echo, ProxyError } from '../errors.ts';
import { matchInstance, matchModel } from '../match.ts';
import { observe, type ProxySeries } from '../metrics/series.ts';
import type { PoolState } from '../pool.ts';
import type { Snapshot } from '../snapshot.ts';
import { type BodyLimits, type HeldBytes, readBody, releaseBody } from './body.ts';
import { dropRest } from './drop-rest.ts';
import { createExchange, type Exchange } from './exchange.ts';
import { type Forwarded, forward } from './forward.ts';
import { forwardableRequestHeaders, withSettings } from './headers.ts';
import { checkJson, findModel, replaceModel } from './json-model.ts';
import { getModel, listModels } from './models.ts';
import { readMultipart } from './multipart-body.ts';
import { type Path, parsePath } from './path.ts';
import { record } from './record.ts';
import { readHead } from './request-head.ts';
import { sendError, sendJson } from './respond.ts';

/** What the HTTP door needs of the rest of the proxy. */
export interface HttpDeps {
  readonly snapshot: () => Snapshot;
  readonly limits: BodyLimits;
  readonly held: HeldBytes;
  readonly series: ProxySeries;
  readonly random: () => number;
  readonly newId: () => string;
  /** Whether the connection of this request ends with its answer. */
  readonly closes: (req: IncomingMessage) => boolean;
  /** Takes an access line, without its newline. */
  readonly logLine: (line: string) => void;
  readonly logError: (error: unknown, requestId: string) => void;
}

/** Serves one request, whatever comes of it. */
export function handle(deps: HttpDeps, req: IncomingMessage, res: ServerResponse): void {
  const startedAt = performance.now();
  const head = readHead(req);
  const id = head.requestId === '' ? deps.newId() : head.requestId;
  const exchange = createExchange(req, res, { head, id, startedAt, closes: deps.closes });
  res.on('close', () => {
    if (!res.writableFinished) endCall(exchange.call, 'client');
  });
  void serve(deps, exchange);
}

async function serve(deps: HttpDeps, exchange: Exchange): Promise<void> {
  let state: PoolState | undefined;
  try {
    if (exchange.head.fault !== undefined) throw exchange.head.fault;
    const request = await route(deps, exchange, parsePath(exchange.req.url ?? ''));
    if (request !== undefined) {
      state = request.state;
      exchange.bodyAt = performance.now();
      await forward(exchange, request, deps.random);
    }
  } catch (error) {
    if (!(error instanceof ProxyError)) deps.logError(error, exchange.id);
    sendError(exchange, error);
  } finally {
    stopAlarm(exchange.alarm);
    releaseBody(exchange, deps.held);
    dropRest(exchange.req, deps.limits.times.restMs);
    if (exchange.attempts > 0) observe(deps.series.overheadSeconds, exchange.overheadMs / 1000);
    deps.logLine(record(exchange, state?.series ?? deps.series.unknown));
  }
}

/** The request with its pool, or undefined where it is answered already. */
function route(deps: HttpDeps, exchange: Exchange, path: Path): Promise<Forwarded> | undefined {
  if (path.kind === 'models') {
    requireMethod(exchange, 'GET');
    const snapshot = deps.snapshot();
    sendJson(exchange, 200, path.id === undefined ? listModels(snapshot) : getModel(snapshot, path.id));
    return undefined;
  }
  if (path.kind === 'instance') return routeInstance(deps, exchange, path);
  requireMethod(exchange, 'POST');
  return exchange.head.isMultipart ? routeMultipart(deps, exchange, path) : routeJson(deps, exchange, path);
}

type OpenAiPath = Extract<Path, { kind: 'openai' }>;
type InstancePath = Extract<Path, { kind: 'instance' }>;

async function routeJson(deps: HttpDeps, exchange: Exchange, path: OpenAiPath): Promise<Forwarded> {
  const body = await readBody(exchange, deps.limits, deps.held);
  const span = findModel(body);
  const to = poolOf(deps, exchange, span.model, path);
  return {
    state: to.state,
    asked: to.asked,
    path: to.path,
    query: path.query,
    headers: upstreamHeaders(exchange),
    bodyFor: (model) => (model === span.model ? body : replaceModel(body, span, model)),
    isRepeatable: () => true,
  };
}

async function routeMultipart(deps: HttpDeps, exchange: Exchange, path: OpenAiPath): Promise<Forwarded> {
  const body = await readMultipart(exchange, deps.limits, deps.held);
  const to = poolOf(deps, exchange, body.model, path);
  return {
    state: to.state,
    asked: to.asked,
    path: to.path,
    query: path.query,
    headers: upstreamHeaders(exchange),
    bodyFor: body.as,
    isRepeatable: body.isRepeatable,
  };
}

/** TEI's REST by instance; the body names no model. */
async function routeInstance(deps: HttpDeps, exchange: Exchange, path: InstancePath): Promise<Forwarded> {
  const state = matchInstance(deps.snapshot(), path.name);
  if (state === undefined) throw new ProxyError('instance_not_found', `Instance ${echo(path.name)} not found`);
  exchange.pool = state.key;
  exchange.model = path.name;
  requireMethod(exchange, path.method);
  const body = path.method === 'GET' ? undefined : await readBody(exchange, deps.limits, deps.held);
  if (body !== undefined) checkJson(body);
  return {
    state,
    asked: path.name,
    path: `/${path.operation}`,
    query: path.query,
    headers: upstreamHeaders(exchange),
    bodyFor: () => body,
    isRepeatable: () => true,
  };
}

/** Where a model leads, and the path to call there. An instance is a TEI server's root, not an OpenAI base. */
function poolOf(
  deps: HttpDeps,
  exchange: Exchange,
  model: string,
  path: OpenAiPath,
): Pick<Forwarded, 'state' | 'asked' | 'path'> {
  exchange.model = model;
  const match = matchModel(deps.snapshot(), model);
  if (match === undefined) {
    const message = `The model ${echo(model)} does not exist; GET /v1/models lists those that do`;
    throw new ProxyError('model_not_found', message, { param: 'model' });
  }
  exchange.pool = match.state.key;
  const isPool = match.state.current?.instance === undefined;
  return { state: match.state, asked: match.asked, path: isPool ? path.rest : instancePath(model, path.rest) };
}

/** TEI answers OpenAI's embeddings under /v1 and rerank at its root; an instance serves nothing else by model. */
function instancePath(model: string, rest: string): string {
  if (rest === '/embeddings') return '/v1/embeddings';
  if (rest === '/rerank') return '/rerank';
  throw new ProxyError(
    'unknown_path',
    `${echo(model)} is an embedding instance: it serves /v1/embeddings and /v1/rerank`,
  );
}

function upstreamHeaders(exchange: Exchange): string[] {
  const headers = forwardableRequestHeaders(exchange.req.rawHeaders);
  return exchange.head.requestId === '' ? withSettings(headers, ['x-request-id', exchange.id]) : headers;
}

function requireMethod(exchange: Exchange, method: 'GET' | 'POST'): void {
  if (exchange.req.method === method) return;
  throw new ProxyError('method_not_allowed', `${exchange.req.method} is not allowed here; use ${method}`);
}
