import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';

export interface AdminOptions {
  readonly address: { readonly host: string | undefined; readonly port: number };
  readonly registry: Registry;
  /** Why it is not so; undefined: all is well. */
  readonly notLive: () => string | undefined;
  readonly notReady: () => string | undefined;
}

/** The operator's admin door: /metrics, /livez, /readyz. Rejects where it cannot listen. */
export async function openAdmin(options: AdminOptions): Promise<{ readonly port: number; readonly close: () => void }> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'only GET\n');
    if (path === '/livez') return probe(response, options.notLive());
    if (path === '/readyz') return probe(response, options.notReady());
    if (path === '/metrics') return void metrics(response, options.registry);
    answer(response, 404, 'there are /metrics, /livez and /readyz\n');
  });
  await listen(server, options.address);
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function listen(server: Server, { host, port }: AdminOptions['address']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host !== undefined && { host }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function probe(response: ServerResponse, trouble: string | undefined): void {
  if (trouble === undefined) answer(response, 200, 'ok\n');
  else answer(response, 503, `${trouble}\n`);
}

async function metrics(response: ServerResponse, registry: Registry): Promise<void> {
  const text = await registry.metrics();
  answer(response, 200, text, registry.contentType);
}

function answer(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
