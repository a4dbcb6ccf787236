import type { LookupFunction } from 'node:net';
import { Client, type Dispatcher, Pool } from 'undici';

/** All that decides whether an open connection may be used for a call. Equal settings share connections. */
export interface ConnectionSettings {
  /** scheme://host:port */
  readonly origin: string;
  readonly connectMs: number;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly serverName?: string | undefined;
  /** Refuses an address that a name must not resolve to. */
  readonly lookup: LookupFunction;
}

/** The connections to one endpoint: opened on first use, kept while it lasts. */
export interface Connections {
  readonly settings: ConnectionSettings;
  /** How many were opened so far: unchanged during an attempt means that it ran on a kept one. */
  opened: () => number;
  dispatch: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => void;
  /** Sends on a connection of its own: for a call whose kept connection died before any answer. */
  dispatchFresh: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => void;
  /** Takes no new call; those under way end as they would. */
  close: () => void;
}

/** Below uvicorn's 5 s, so that we let go of an idle connection before the server does (hazards: keep-alive race). */
const KEEP_ALIVE_MS = 4_000;

export function createConnections(settings: ConnectionSettings): Connections {
  let pool: Pool | undefined;
  let opened = 0;
  const open = (): Pool => {
    const fresh = new Pool(settings.origin, { ...clientOptions(settings), connections: null });
    fresh.on('connect', () => {
      opened += 1;
    });
    return fresh;
  };
  return {
    settings,
    opened: () => opened,
    dispatch: (options, handler) => {
      pool ??= open();
      pool.dispatch(options, handler);
    },
    dispatchFresh: (options, handler) => {
      const client = new Client(settings.origin, clientOptions(settings));
      client.dispatch(options, handler);
      void client.close();
    },
    close: () => {
      void pool?.close();
    },
  };
}

/** The same way to the same server: its open connections may go on being used. */
export function sameSettings(a: ConnectionSettings, b: ConnectionSettings): boolean {
  return (
    a.origin === b.origin &&
    a.connectMs === b.connectMs &&
    a.ca === b.ca &&
    a.cert === b.cert &&
    a.key === b.key &&
    a.serverName === b.serverName
  );
}

function clientOptions(settings: ConnectionSettings): Client.Options {
  const { connectMs, ca, cert, key, serverName, lookup } = settings;
  return {
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    // First byte and idle are measured per attempt, to the millisecond; undici's own clock ticks each 500 ms.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: {
      timeout: connectMs,
      lookup,
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
      ...(serverName !== undefined && { servername: serverName }),
    },
  };
}
