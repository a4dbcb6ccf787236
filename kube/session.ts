import type { Agent as UndiciAgent } from 'undici';
import { Agent } from '../program/undici.ts';
import type { CredentialSource, Credentials } from './credentials.ts';

/** A rotated token is found within a minute even if the API server still takes the old one (as client-go does). */
const REREAD_MS = 60_000;
/** Many calls time out together; the connections that the first one made suspect are new for the others. */
const NEW_CONNECTIONS_MS = 1_000;

/** What a call goes out with. */
export interface Line {
  readonly credentials: Credentials;
  readonly agent: UndiciAgent;
}

/** The credentials and connections of a client, as they change while it runs. */
export interface Session {
  readonly current: () => Line;
  /** The current line, its credentials at most a minute old. */
  readonly fresh: () => Promise<Line>;
  /** A line whose credentials are newer than the refused one's; undefined when there are none. */
  readonly renew: (refused: Line) => Promise<Line | undefined>;
  /** Connections are half open: calls from now on use new ones. */
  readonly suspect: () => void;
  readonly close: () => Promise<void>;
}

/**
 * One dispatcher for all calls; only a changed CA or certificate, or half-open connections, replace it. The clock is
 * monotonic, in ms.
 */
export async function openSession(source: CredentialSource, clock: () => number): Promise<Session> {
  let line = connect(await source(false));
  let readAt = clock();
  let connectedAt = clock();
  let reading: Promise<void> | undefined;
  const retired = new Set<UndiciAgent>();

  const replace = (credentials: Credentials): void => {
    const { agent } = line;
    line = connect(credentials);
    connectedAt = clock();
    // Its idle connections end now, those in use when their call does.
    retired.add(agent);
    void agent.close().finally(() => retired.delete(agent));
  };
  const read = async (refused: boolean): Promise<void> => {
    readAt = clock();
    const credentials = await source(refused);
    if (sameTls(line.credentials, credentials)) line = { credentials, agent: line.agent };
    else replace(credentials);
  };
  // Files are swapped while we read, plugins fail: the credentials we have may still do.
  const reread = (refused: boolean): Promise<void> => {
    reading ??= read(refused)
      .catch(() => undefined)
      .finally(() => {
        reading = undefined;
      });
    return reading;
  };
  return {
    current: () => line,
    fresh: async () => {
      if (clock() - readAt >= REREAD_MS) await reread(false);
      return line;
    },
    renew: async (refused) => {
      if (line === refused) await reread(true);
      return line === refused ? undefined : line;
    },
    suspect: () => {
      if (clock() - connectedAt >= NEW_CONNECTIONS_MS) replace(line.credentials);
    },
    close: async () => {
      await Promise.all([line.agent, ...retired].map((agent) => agent.destroy()));
    },
  };
}

function connect(credentials: Credentials): Line {
  const agent = new Agent({
    // HTTP/2 would put every watch on one connection, to stall together.
    allowH2: false,
    // Calls have deadlines of their own, watches a watchdog.
    headersTimeout: 0,
    bodyTimeout: 0,
    // Short, so that sockets that died unseen are gone by the time a watchdog has noticed.
    keepAliveTimeout: 15_000,
    keepAliveMaxTimeout: 15_000,
    // With a reflector's longest pause of 6 s this still finds a returned API server within 10 s.
    connect: { ...credentials.tls, timeout: 4_000, keepAlive: true, keepAliveInitialDelay: 15_000 },
  });
  return { credentials, agent };
}

function sameTls(a: Credentials, b: Credentials): boolean {
  return a.server === b.server && JSON.stringify(a.tls) === JSON.stringify(b.tls);
}
