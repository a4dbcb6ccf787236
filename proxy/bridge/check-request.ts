import type { Pool } from '../pool.ts';
import { translate } from './translate.ts';

/**
 * Refuses what cannot be said to an instance that speaks gRPC, before it takes anything; other pools get what they are
 * sent. `path` is the server's own. The body, where there is one, is known to be JSON.
 * @throws ProxyError that names the field.
 */
export function checkRequest({ instance }: Pool, method: string, path: string, body: Buffer | undefined): void {
  if (instance?.protocol === 'GRPC') translate(method, path, body, undefined);
}
