import { PassThrough } from 'node:stream';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import type { Documents } from './config/documents.ts';
import type { ConfigReport } from './config/schema.ts';
import { describeInstance, describePool, listInstances } from './describe.ts';
import { matchInstance } from './match.ts';
import type { Snapshot } from './snapshot.ts';

export interface AdminDeps {
  readonly snapshot: () => Snapshot;
  readonly documents: Documents;
  readonly registry: Registry;
  /** False once the proxy drains. */
  readonly isServing: () => boolean;
  readonly heartbeatMs: number;
}

/** The admin door: metrics, probes, what is served. Never anything of a Secret. */
export function createAdmin(deps: AdminDeps): FastifyInstance {
  const admin = Fastify({ forceCloseConnections: true });
  const { snapshot, documents, registry } = deps;
  admin.get('/metrics', async (_, reply) => {
    reply.type(registry.contentType);
    return registry.metrics();
  });
  admin.get('/livez', async () => ({ status: 'ok' }));
  admin.get('/readyz', async (_, reply) => {
    const reason = unreadyReason(deps);
    if (reason !== undefined) reply.code(503);
    return reason === undefined ? { status: 'ok' } : { status: 'unavailable', reason };
  });
  admin.get('/health', async () => ({ status: unreadyReason(deps) === undefined ? 'healthy' : 'unhealthy' }));
  admin.get('/pools', async () => [...snapshot().states.values()].flatMap(describePool));
  admin.get<{ Params: { namespace: string; name: string } }>('/pools/:namespace/:name', async (request, reply) => {
    const { namespace, name } = request.params;
    const state = snapshot().states.get(`LLMPool/${namespace}/${name}`);
    return state === undefined ? notFound(reply, `pool '${namespace}/${name}'`) : describePool(state)[0];
  });
  admin.get('/instances', async () => listInstances(snapshot()));
  admin.get<{ Params: { name: string } }>('/instances/:name', async (request, reply) => {
    const { name } = request.params;
    const state = matchInstance(snapshot(), name);
    return state === undefined ? notFound(reply, `instance '${name}'`) : describeInstance(state)[0];
  });
  admin.get<{ Querystring: { watch?: string } }>('/config', async (request, reply) => {
    if (request.query.watch !== 'true') return { source: documents.source() ?? null, documents: documents.reports() };
    reply.type('application/x-ndjson');
    return watchStream(documents, deps.heartbeatMs, (end) => request.raw.on('close', end));
  });
  return admin;
}

function unreadyReason({ documents, isServing }: AdminDeps): string | undefined {
  if (!isServing()) return 'draining';
  return documents.settled() ? undefined : 'no configuration has been read whole yet';
}

/** Every document as it stands, then each that is loaded or refused; heartbeats between. */
function watchStream(documents: Documents, heartbeatMs: number, onGone: (end: () => void) => void): PassThrough {
  const stream = new PassThrough();
  const write = (report: ConfigReport): void => {
    stream.write(`${JSON.stringify(report)}\n`);
  };
  for (const report of documents.reports()) write(report);
  // Ends the first state, so that a listener knows it has heard all of it.
  stream.write('\n');
  const unwatch = documents.watch(write);
  const heartbeat = setInterval(() => stream.write('\n'), heartbeatMs);
  onGone(() => {
    unwatch();
    clearInterval(heartbeat);
    stream.destroy();
  });
  return stream;
}

function notFound(reply: { code: (status: number) => unknown }, what: string): { error: { message: string } } {
  reply.code(404);
  return { error: { message: `There is no ${what}` } };
}
