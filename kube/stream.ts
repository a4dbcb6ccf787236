import { ApiError } from './api-error.ts';
import type { KubeClient, KubeRequest } from './client.ts';

/** An object is at most 1.5 MiB in etcd; JSON may write it several times as long. */
export const MAX_OBJECT_BYTES = 16 * 1024 * 1024;

export interface StreamLimits {
  /** How long the body may take; beyond, the connection is taken for half open. */
  readonly bodyMs: number;
  /** The headers are here: the API server answers. */
  readonly opened?: () => void;
}

/**
 * Hands on the body of an answer chunk by chunk until it ends. Fails with an ApiError: as `open` does, Timeout for a
 * body that takes too long, Unreachable for one that is cut, InvalidBody where `take` throws.
 */
export async function readStream(
  client: KubeClient,
  request: KubeRequest,
  { bodyMs, opened }: StreamLimits,
  take: (chunk: Buffer) => void,
): Promise<void> {
  const where = `GET ${request.path}`;
  const stream = await client.open(request);
  opened?.();
  let stalled = false;
  const watchdog = setTimeout(() => {
    stalled = true;
    client.suspect();
    stream.destroy();
  }, bodyMs);
  try {
    for await (const chunk of stream.body) takeOr(where, take, chunk);
  } catch (error) {
    if (stalled) throw new ApiError(0, 'Timeout', `${where}: the connection is half open, no end in ${bodyMs} ms`);
    if (error instanceof ApiError) throw error;
    throw new ApiError(0, 'Unreachable', `${where}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    clearTimeout(watchdog);
    stream.destroy();
  }
}

function takeOr(where: string, take: (chunk: Buffer) => void, chunk: Buffer): void {
  try {
    take(chunk);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(0, 'InvalidBody', `${where}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
