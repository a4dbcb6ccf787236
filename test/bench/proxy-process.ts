import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../support/ports.ts';
import { type Measured, measured } from './processes.ts';

/** The proxy as users start it, access log on, with these documents in a folder; resolves once it serves them. */
export async function startProxyOn(documents: readonly object[]): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  // Its own: the proxy hears of all that is written in a folder that it follows, an access log too.
  const config = join(folder, 'config');
  mkdirSync(config);
  for (const [index, document] of documents.entries()) {
    writeFileSync(join(config, `${index}.json`), JSON.stringify(document));
  }
  const [http, admin] = [await freePort(), await freePort()];
  const flags = {
    'config-dir': config,
    'http-address': `127.0.0.1:${http}`,
    'grpc-address': '127.0.0.1:0',
    'admin-address': `127.0.0.1:${admin}`,
    'allow-upstream': '127.0.0.0/8',
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const log = openSync(join(folder, 'access.log'), 'w');
  // As the chart sets it.
  const env = { ...process.env, MALLOC_ARENA_MAX: '2' };
  const child = spawn(process.execPath, ['proxy/main.ts', ...args], { env, stdio: ['ignore', 'ignore', log] });
  for (;;) {
    const ready = await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined);
    if (ready?.ok) break;
  }
  const proxy = measured(child, http);
  return {
    ...proxy,
    stop: async () => {
      await proxy.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A pool that serves its own name, with so many backends that are all the server at this port. */
export function poolOn(port: number, name: string, backends = 1): object {
  return {
    ...{ format: 1, kind: 'LLMPool', namespace: 'bench', name, models: [name], firstModel: name },
    backends: Array.from({ length: backends }, (_, n) => ({ name: `b${n}`, url: `http://127.0.0.1:${port}/v1` })),
  };
}
