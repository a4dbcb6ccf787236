import type { Endpoint, Pool, PoolState } from '../pool.ts';
import type { Incoming } from './http1/connection.ts';

/** TEI's own default, for a server that does not say. */
const DEFAULT_BATCH = 32;
const ASK_MS = 1_000;
/** Longer than any /info. */
const MAX_INFO_BYTES = 64 * 1024;

/**
 * How many inputs an instance's server takes in one call: what its CR says, else what the server says of itself
 * (`max_client_batch_size` of TEI's /info, asked once), else 32.
 */
export function withMaxBatch(pool: Pool, state: PoolState, goOn: (size: number) => void): void {
  const known = pool.instance?.maxBatch ?? state.maxBatch;
  const endpoint = pool.tiers[0]?.endpoints[0];
  if (known !== undefined || endpoint === undefined) {
    goOn(known ?? DEFAULT_BATCH);
    return;
  }
  ask(endpoint, (size) => {
    // A server that could not answer now is asked again.
    state.maxBatch = size;
    goOn(size ?? DEFAULT_BATCH);
  });
}

function ask({ basePath, backend, state }: Endpoint, onSize: (size: number | undefined) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let isOver = false;
  const over = (size: number | undefined): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    onSize(size);
  };
  const incoming: Incoming = {
    onHead: () => undefined,
    onData: (chunk) => {
      bytes += chunk.length;
      if (bytes <= MAX_INFO_BYTES) chunks.push(chunk);
    },
    onEnd: () => over(sizeIn(Buffer.concat(chunks).toString())),
    onError: () => over(undefined),
  };
  const timer = setTimeout(() => {
    sending.abort();
    over(undefined);
  }, ASK_MS);
  const call = { method: 'GET', path: `${basePath}/info`, headers: backend.headers, body: undefined };
  const sending = state.connections.send(call, incoming);
}

function sizeIn(info: string): number | undefined {
  try {
    const size = (JSON.parse(info) as { max_client_batch_size?: unknown }).max_client_batch_size;
    return typeof size === 'number' && size >= 1 ? Math.floor(size) : undefined;
  } catch {
    return undefined;
  }
}
