import type { LookupFunction } from 'node:net';
import type { Dispatcher, Client as UndiciClient, Pool as UndiciPool } from 'undici';
import { buildConnector, Client, Pool } from '../../program/undici.ts';

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
  /** How many were begun to be opened: unchanged by a dispatch, it went out on a kept one. */
  openings: () => number;
  dispatch: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => void;
  /** Sends on a connection of its own: for a call whose kept connection died before any answer. */
  dispatchFresh: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => void;
  /** Takes no new call; those under way end as they would. */
  close: () => void;
}

/** Below uvicorn's 5 s, so that we let go of an idle connection before the server does (hazards: keep-alive race). */
const KEEP_ALIVE_MS = 4_000;

export function createConnections(settings: ConnectionSettings): Connections {
  let pool: UndiciPool | undefined;
  let openings = 0;
  const connector = connectorOf(settings);
  const options: UndiciClient.Options = {
    ...CLIENT_OPTIONS,
    connect: (target, callback) => {
      openings += 1;
      connector(target, callback);
    },
  };
  return {
    settings,
    openings: () => openings,
    dispatch: (call, handler) => {
      pool ??= new Pool(settings.origin, { ...options, connections: null });
      pool.dispatch(call, handler);
    },
    dispatchFresh: (call, handler) => {
      const client = new Client(settings.origin, options);
      client.dispatch(call, handler);
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

const CLIENT_OPTIONS: UndiciClient.Options = {
  pipelining: 1,
  allowH2: false,
  keepAliveTimeout: KEEP_ALIVE_MS,
  keepAliveMaxTimeout: KEEP_ALIVE_MS,
  // First byte and idle are measured per attempt, to the millisecond; undici's own clock ticks each 500 ms.
  headersTimeout: 0,
  bodyTimeout: 0,
};

function connectorOf({
  connectMs,
  ca,
  cert,
  key,
  serverName,
  lookup,
}: ConnectionSettings): ReturnType<typeof buildConnector> {
  return buildConnector({
    allowH2: false,
    timeout: connectMs,
    lookup,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(serverName !== undefined && { servername: serverName }),
  });
}
