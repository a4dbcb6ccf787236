import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { canonicalJson, revisionOf } from '../../proxy/config/encode.ts';
import { eventually } from '../support/eventually.ts';
import { type ServingProgram, startProxy } from '../support/program.ts';
import { temporaryFolder } from '../support/reaper.ts';
import { type Held, openWindow } from './look-inside.ts';

/** Proxies as a chart would run them: processes of their own, all on one folder of documents. */
export interface Proxies {
  readonly proxies: readonly UnderLoad[];
  readonly urls: readonly string[];
  /** Writes the documents and resolves once all proxies serve the last of them. */
  readonly publish: (...documents: Document[]) => Promise<void>;
  readonly stop: () => Promise<void>;
}

export interface UnderLoad extends ServingProgram {
  readonly port: number;
  /** What the process holds, by default after a full collection of garbage. */
  readonly look: (how?: { readonly collected: boolean }) => Promise<Held>;
  readonly pool: (name: string) => Promise<PoolSeen>;
  /** The sum of the series of a counter whose labels hold `labels`. */
  readonly counter: (name: string, labels: string) => Promise<number>;
}

export interface PoolSeen {
  readonly inFlight: number;
  readonly queue: { readonly depth: number };
  readonly endpoints: readonly { readonly backend: string; readonly inFlight: number }[];
}

export type Document = Readonly<Record<string, unknown>>;

export async function startProxies(count: number): Promise<Proxies> {
  const folder = temporaryFolder('sluice-load');
  const proxies = await Promise.all(Array.from({ length: count }, (_, n) => startOne(folder, String(n))));
  const served = await Promise.all(proxies.map(({ adminUrl }) => followRevisions(adminUrl)));
  return {
    proxies,
    urls: proxies.map(({ httpUrl }) => httpUrl),
    publish: async (...documents) => {
      let revision = '';
      for (const document of documents) revision = write(folder, document);
      const isServed = (): boolean => served.every(({ revisions }) => revisions.has(revision));
      await eventually('all proxies serve it', isServed, { intervalMs: 1 });
    },
    stop: async () => {
      for (const { close } of served) close();
      await Promise.all(proxies.map((proxy) => proxy.stop('SIGKILL')));
    },
  };
}

async function startOne(folder: string, name: string): Promise<UnderLoad> {
  const { nodeArgs, env, look } = openWindow(folder, name);
  const args = [`--config-dir=${folder}`, '--allow-upstream=127.0.0.0/8'];
  const program = await startProxy({ args, nodeArgs, env });
  const ask = async (path: string): Promise<Response> => fetch(program.adminUrl + path);
  return {
    ...program,
    port: Number(new URL(program.httpUrl).port),
    look: (how) => look(program.pid, how),
    pool: async (pool) => (await (await ask(`/pools/ml/${pool}`)).json()) as PoolSeen,
    counter: async (series, labels) => sumOf(await (await ask('/metrics')).text(), series, labels),
  };
}

/** By rename, as a writer does who wants no half file read. */
function write(folder: string, document: Document): string {
  const text = canonicalJson(document);
  const { kind, name, of } = document as { kind: string; name?: string; of?: { name: string } };
  const file = `${kind}-${name ?? of?.name}.json`;
  writeFileSync(join(folder, `.${file}`), text);
  renameSync(join(folder, `.${file}`), join(folder, file));
  return revisionOf(text);
}

/** The revisions that a proxy has served so far. */
async function followRevisions(adminUrl: string): Promise<{ revisions: ReadonlySet<string>; close: () => void }> {
  const revisions = new Set<string>();
  const leaving = new AbortController();
  const { body } = await fetch(`${adminUrl}/config?watch=true`, { signal: leaving.signal });
  if (body === null) throw new Error('/config gave nothing');
  const read = async (): Promise<void> => {
    for await (const line of createInterface(Readable.fromWeb(body))) {
      if (line === '') continue;
      const { state, revision } = JSON.parse(line) as { state: string; revision: string };
      if (state === 'loaded') revisions.add(revision);
    }
  };
  read().catch(() => undefined);
  return { revisions, close: () => leaving.abort() };
}

function sumOf(metrics: string, series: string, labels: string): number {
  const lines = metrics.split('\n').filter((line) => line.startsWith(`${series}{`) && line.includes(labels));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
