import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Dispatcher, Pool } from 'undici';

/**
 * The least that a proxy in Node can be: node:http in front, undici's dispatch behind, the body held, the answer
 * written chunk by chunk. It chooses nothing, checks nothing, counts nothing.
 *   node test/bench/floor.ts UPSTREAM_PORT   prints its port
 */
const upstream = new Pool(`http://127.0.0.1:${process.argv[2]}`, { connections: null, pipelining: 1 });
const DROPPED = new Set(['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive', 'expect']);

function proxy(req: IncomingMessage, res: ServerResponse): void {
  const chunks: Buffer[] = [];
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    const options = {
      method: req.method ?? 'POST',
      path: req.url ?? '/',
      headers: kept(req.rawHeaders),
      body: body ?? null,
    };
    upstream.dispatch(options, relayTo(res));
  });
}

function relayTo(res: ServerResponse): Dispatcher.DispatchHandler {
  let controller: Dispatcher.DispatchController | undefined;
  res.on('close', () => {
    if (!res.writableFinished) controller?.abort(new Error('client gone'));
  });
  return {
    onRequestStart: (given) => {
      controller = given;
    },
    onResponseStart: (_, status, headers) => {
      delete headers['connection'];
      delete headers['keep-alive'];
      res.writeHead(status, headers);
    },
    onResponseData: (given, chunk) => {
      if (res.write(chunk)) return;
      given.pause();
      res.once('drain', () => given.resume());
    },
    onResponseEnd: () => {
      res.end();
    },
    onResponseError: () => {
      res.destroy();
    },
  };
}

function kept(raw: readonly string[]): string[] {
  const headers: string[] = [];
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] as string;
    if (!DROPPED.has(name.toLowerCase())) headers.push(name, raw[index + 1] as string);
  }
  return headers;
}

const server = createServer(proxy);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`);
});
