import { ProxyError } from '../errors.ts';
import type { Pool } from '../pool.ts';

/** HTTP/1 would look to a gRPC server, and its refusal to us, like a fault of the endpoint. @throws ProxyError */
export function requireHttp({ instance }: Pool): void {
  if (instance?.protocol !== 'GRPC') return;
  throw new ProxyError('not_implemented', `Instance '${instance.instanceName}' speaks gRPC; call it on the gRPC port`);
}
