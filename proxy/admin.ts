import { PassThrough } from 'node:stream';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import type { AdmitDeps } from './admit/seat.ts';
import type { Documents } from './config/documents.ts';
import { type ConfigReport, PROXY_ID_HEADER } from './config/schema.ts';
import { describeInstance, describePool, listInstances } from './describe.ts';
import { echo } from './errors.ts';
import { explain } from './explain.ts';
import { HOPS_HEADER } from './http/hops.ts';
import { matchInstance } from './match.ts';
import type { Snapshot } from './snapshot.ts';
import { addStartStop } from './start-stop.ts';

/** Beside what it shows, what a choice reads of the world, for /explain. */
export interface AdminDeps extends AdmitDeps {
  readonly snapshot: () => Snapshot;
  readonly documents: Documents;
  readonly registry: Registry;
  /** False once the proxy drains. */
  readonly isServing: () => boolean;
  readonly heartbeatMs: number;
  /** Standalone: there is no `deployment.replicas` to say so. */
  readonly startsAndStops: boolean;
  /** What this proxy calls itself, new at each start: the operator gives it its rank by that. */
  readonly proxyId: string;
}

/** The admin door: metrics, probes, what is served. Never anything of a Secret. */
export function createAdmin(deps: AdminDeps): FastifyInstance {
  const admin = Fastify({ forceCloseConnections: true });
  const { snapshot, documents, registry } = deps;
  admin.addHook('onRequest', async (request, reply) => {
    if (request.headers[HOPS_HEADER] === undefined) return;
    await reply.code(403).send({ error: { message: 'The admin door is not for calls that come through a pool' } });
  });
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
  admin.get('/pools', async () => [...snapshot().states.values()].flatMap((state) => describePool(state, deps.now())));
  admin.get<{ Params: { namespace: string; name: string } }>('/pools/:namespace/:name', async (request, reply) => {
    const { namespace, name } = request.params;
    const state = snapshot().states.get(`LLMPool/${namespace}/${name}`);
    return state === undefined ? notFound(reply, `pool '${namespace}/${name}'`) : describePool(state, deps.now())[0];
  });
  admin.get('/instances', async () => listInstances(snapshot()));
  admin.get<{ Params: { name: string } }>('/instances/:name', async (request, reply) => {
    const { name } = request.params;
    const state = matchInstance(snapshot(), name);
    return state === undefined ? notFound(reply, `instance '${name}'`) : describeInstance(state)[0];
  });
  if (deps.startsAndStops) addStartStop(admin, snapshot);
  admin.get('/explain', async (request, reply) => {
    const { model = '', ...given } = Object.fromEntries(new URLSearchParams(request.url.split('?')[1]));
    if (model === '') {
      reply.code(400);
      return {
        error: { message: 'Say whose call to explain: /explain?model=NAME, and headers or fields as key=value' },
      };
    }
    const facts = new Map(Object.entries(given).map(([key, value]) => [key.toLowerCase(), value]));
    return explain(snapshot(), model, facts, deps) ?? notFound(reply, `model ${echo(model)}`);
  });
  admin.get<{ Querystring: { watch?: string } }>('/config', async (request, reply) => {
    reply.header(PROXY_ID_HEADER, deps.proxyId);
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
