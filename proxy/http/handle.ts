import type { IncomingMessage, ServerResponse } from 'node:http';
import { presentedKey, usableWith } from '../admit/access.ts';
import type { Overload } from '../admit/overload.ts';
import { endCall } from '../call.ts';
import { ProxyError } from '../errors.ts';
import { count, type ProxySeries } from '../metrics/series.ts';
import type { Snapshot } from '../snapshot.ts';
import type { BodyLimits, HeldBytes } from './body.ts';
import { createExchange, type Exchange } from './exchange.ts';
import { finish } from './finish.ts';
import type { ForwardDeps } from './forward.ts';
import { getModel, listModels } from './models.ts';
import { type Path, parsePath } from './path.ts';
import { readHead } from './request-head.ts';
import { sendJson } from './respond.ts';
import { serveInstance } from './serve-instance.ts';
import { serveBodiless, serveJson, serveMultipart } from './serve-model.ts';

/** What the HTTP door needs of the rest of the proxy. */
export interface HttpDeps extends ForwardDeps {
  readonly snapshot: () => Snapshot;
  readonly limits: BodyLimits;
  readonly held: HeldBytes;
  readonly overload: Overload;
  readonly series: ProxySeries;
  readonly newId: () => string;
  readonly newTraceparent: () => string;
  /** Whether the connection of this request ends with its answer. */
  readonly closes: (req: IncomingMessage) => boolean;
  /** Takes an access line, without its newline. */
  readonly logLine: (line: string) => void;
  readonly logError: (error: unknown, requestId: string) => void;
}

/** Called once: with the error that the client is owed, or without where it has its answer or is gone. */
export type Done = (error?: unknown) => void;

/** Serves one request, whatever comes of it. */
export function handle(deps: HttpDeps, req: IncomingMessage, res: ServerResponse): void {
  const head = readHead(req);
  const id = head.requestId === '' ? deps.newId() : head.requestId;
  const exchange = createExchange(req, res, { head, id, startedAt: deps.now(), closes: deps.closes });
  const done = (error?: unknown): void => finish(deps, exchange, error);
  res.on('close', () => {
    if (!res.writableFinished) endCall(exchange.call, 'client');
  });
  try {
    if (head.fault !== undefined) throw head.fault;
    route(deps, exchange, parsePath(req.url ?? ''), done);
  } catch (error) {
    done(error);
  }
}

function route(deps: HttpDeps, exchange: Exchange, path: Path, done: Done): void {
  const { method } = exchange.req;
  if (path.kind === 'models' && method === 'GET') {
    answerModels(deps, exchange, path.id);
    done();
    return;
  }
  shedUnderOverload(deps);
  if (path.kind === 'instance') serveInstance(deps, exchange, path, done);
  else if (path.kind === 'models' || method !== 'POST') serveBodiless(deps, exchange, path, done);
  else if (exchange.head.isMultipart) serveMultipart(deps, exchange, path, done);
  else serveJson(deps, exchange, path, done);
}

function answerModels(deps: HttpDeps, exchange: Exchange, id: string | undefined): void {
  const snapshot = deps.snapshot();
  const mayUse = usableWith(presentedKey(exchange.req.rawHeaders));
  sendJson(exchange, 200, id === undefined ? listModels(snapshot, mayUse) : getModel(snapshot, id, mayUse));
}

function shedUnderOverload({ overload, series }: HttpDeps): void {
  const reason = overload.reason();
  if (reason === '') return;
  count(series.shed, reason);
  throw new ProxyError('overloaded', `The proxy is overloaded (${reason}); try again`, {
    retryAfterSeconds: overload.retryAfterSeconds(),
  });
}
