import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ConfigReport } from '../../proxy/config/schema.ts';

/** Stands for a central proxy: says on its admin port what it is told to say. */
export interface FakeProxy {
  readonly port: number;
  /** On every stream, and first on later ones. */
  readonly say: (report: ConfigReport) => void;
  readonly sayText: (text: string | Buffer) => void;
  /** Streams that are open now. */
  readonly streams: () => number;
  /** Calls itself so on streams to come. */
  readonly rename: (id: string) => void;
  /** Ends every stream without a word. */
  readonly cut: () => void;
  readonly close: () => Promise<void>;
}

export interface FakeProxyOptions {
  readonly port?: number;
  readonly status?: number;
  /** What it calls itself; absent: it does not say. */
  readonly id?: string;
  /** Accepts, but sends nothing after the headers. */
  readonly mute?: boolean;
}

export async function startFakeProxy(options: FakeProxyOptions = {}): Promise<FakeProxy> {
  const { port = 0, status = 200, mute = false } = options;
  const said = new Map<string, ConfigReport>();
  const streams = new Set<ServerResponse>();
  let { id } = options;
  const server = createServer((_, response) => {
    const names = id === undefined ? {} : { 'x-sluice-proxy': id };
    response.writeHead(status, { 'content-type': 'application/x-ndjson', ...names });
    if (status !== 200) return void response.end();
    response.flushHeaders();
    streams.add(response);
    response.on('close', () => streams.delete(response));
    if (mute) return;
    for (const report of said.values()) response.write(`${JSON.stringify(report)}\n`);
    response.write('\n');
  });
  await new Promise<void>((resolve) => server.listen(port, resolve));
  const sayText = (text: string | Buffer): void => {
    for (const stream of streams) stream.write(text);
  };
  return {
    port: (server.address() as AddressInfo).port,
    say: (report) => {
      said.set(`${report.kind}/${report.namespace}/${report.name}`, report);
      sayText(`${JSON.stringify(report)}\n`);
    },
    sayText,
    streams: () => streams.size,
    rename: (now) => {
      id = now;
    },
    cut: () => {
      for (const stream of streams) stream.destroy();
      streams.clear();
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
