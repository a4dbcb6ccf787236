import { withSettings } from '../http/headers.ts';
import type { Endpoint, Pool } from '../pool.ts';

/**
 * Asks an endpoint once how it is: whether it is well. Never takes longer than `timeoutMs`, connecting included, and
 * never rejects. `path` with a leading slash is from the host's root, else below the base path.
 */
export type Check = (endpoint: Endpoint, path: string, timeoutMs: number, pool: Pool) => Promise<boolean>;

/** So much of an answer is read, so that its connection can be kept; what is longer ends with its connection. */
const MAX_READ_BYTES = 64 * 1024;

/** A check by GET. Any status below 500 means well: a server that wants another key or has no such page is alive. */
export function createHttpCheck(version: string): Check {
  const ownHeaders = ['user-agent', `sluice-health/${version}`, 'accept', '*/*', 'accept-encoding', 'identity'];
  return ({ backend, basePath, state }, path, timeoutMs) =>
    new Promise((resolve) => {
      let isWell = false;
      let bytes = 0;
      const end = (answer: boolean): void => {
        clearTimeout(timer);
        resolve(answer);
      };
      const stop = (answer: boolean): void => {
        sending.abort();
        end(answer);
      };
      const timer = setTimeout(() => stop(false), timeoutMs);
      timer.unref();
      const call = {
        method: 'GET',
        path: targetOf(basePath, path, backend.query),
        headers: withSettings(ownHeaders, backend.headers),
        body: undefined,
      };
      const sending = state.connections.send(call, {
        onHead: (status) => {
          isWell = status < 500;
        },
        onData: (chunk) => {
          bytes += chunk.length;
          if (bytes > MAX_READ_BYTES) stop(isWell);
        },
        onEnd: () => end(isWell),
        onError: () => end(false),
      });
    });
}

function targetOf(basePath: string, path: string, query: string): string {
  const below = path === '' ? basePath : `${basePath}/${path}`;
  const target = path.startsWith('/') ? path : below === '' ? '/' : below;
  if (query === '') return target;
  return `${target}${target.includes('?') ? '&' : '?'}${query}`;
}
