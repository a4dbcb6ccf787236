import { startProxies } from '../load/proxies.ts';
import { stallReader } from '../load/stalled-reader.ts';
import type { Row } from './row.ts';

const LIMIT_MB = 20;

/** By how much a proxy grows while a client does not read its 100 MB answer. */
export async function stall(): Promise<Row[]> {
  const proxies = await startProxies(2);
  try {
    const stalls = await stallReader(proxies, 'application/octet-stream', (url) => ({
      ...{ format: 1, kind: 'LLMPool', namespace: 'bench', name: 'large', models: ['large'], firstModel: 'large' },
      backends: [{ name: 'a', url }],
    }));
    const grownMb = Math.max(...stalls.map(({ grownBytes }) => grownBytes)) / 1024 ** 2;
    return [
      {
        what: 'growth by a 100 MB answer to a stalled reader',
        ...{ ours: grownMb, unit: 'MB', bar: `<= ${LIMIT_MB}`, holds: grownMb <= LIMIT_MB },
      },
    ];
  } finally {
    await proxies.stop();
  }
}
