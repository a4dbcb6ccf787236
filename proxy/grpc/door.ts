import { type FinishDeps, finishCall } from './finish-call.ts';
import { createHandler, type HandleDeps } from './handle.ts';
import { createRouter, type RouterDeps } from './router.ts';
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from './server.ts';

/** What the gRPC door needs of the rest of the proxy. */
export interface GrpcDeps
  extends RouterDeps,
    FinishDeps,
    Pick<HandleDeps, 'maxMessageBytes' | 'other' | 'held' | 'limits'> {}

/** The gRPC door: every instance of protocol GRPC behind one address. It does not listen yet. */
export function createGrpcDoor(deps: GrpcDeps, options: GrpcServerOptions): GrpcServer {
  const { maxMessageBytes, other, held, limits } = deps;
  const handler = createHandler({
    ...{ router: createRouter(deps), maxMessageBytes, other, held, limits },
    onOver: (call, method, end) => finishCall(deps, call, method, end),
  });
  return createGrpcServer(handler, options);
}
