import type { ProxyOptions } from '../proxy/start.ts';
import { startProxy } from '../proxy/start.ts';
import type { Env } from './expand.ts';
import { createFeed } from './feed.ts';
import { followFolders } from './follow.ts';
import { translateOptions } from './gather.ts';

export interface RunningStandalone {
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly adminPort: number;
  /** Refuses new work, lets open calls finish, then lets go of the folders. */
  readonly drain: () => Promise<void>;
}

/** Serves what the files of the folders say, and follows them. Resolves when it listens and has read them once. */
export async function serveFolders(
  dirs: readonly string[],
  env: Env,
  options: ProxyOptions,
): Promise<RunningStandalone> {
  const proxy = await startProxy({ ...options, startsAndStops: true });
  const feed = createFeed(proxy.documents, translateOptions(options.allowUpstream), options.log);
  const files = await followFolders({ dirs, env, changed: feed.update });
  await proxy.documents.whenSettled;
  return {
    httpPort: proxy.httpPort,
    grpcPort: proxy.grpcPort,
    adminPort: proxy.adminPort,
    drain: async () => {
      await proxy.drain();
      await files.stop();
    },
  };
}
