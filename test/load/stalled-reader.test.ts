import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pool } from '../proxy/http/door.ts';
import { type Proxies, startProxies } from './proxies.ts';
import { stallReader } from './stalled-reader.ts';

const MAX_GROWTH_BYTES = 20 * 1024 ** 2;

let proxies: Proxies;

beforeEach(async () => {
  proxies = await startProxies(2);
});

afterEach(async () => {
  await proxies?.stop();
});

describe('a 100 MB answer to a client that stops reading', () => {
  test.each(['application/octet-stream', 'text/event-stream', 'application/json'])(
    'grows the proxy by at most 20 MB: %s',
    async (contentType) => {
      const stalls = await stallReader(proxies, contentType, (url) => pool('large', [{ name: 'a', url }]));
      const megabytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
      for (const { grownBytes, takenBytes, isWhole } of stalls) {
        process.stdout.write(
          `stalled reader, ${contentType}: +${megabytes(grownBytes)} MB, ${megabytes(takenBytes)} MB taken in\n`,
        );
        expect(grownBytes).toBeLessThanOrEqual(MAX_GROWTH_BYTES);
        expect(isWhole).toBe(true);
      }
    },
    60_000,
  );
});
