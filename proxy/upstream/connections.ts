import type { LookupFunction } from 'node:net';
import type { Client as UndiciClient } from 'undici';
import { buildConnector, Client } from '../../program/undici.ts';

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

/** One connection, or the place for one: undici opens it with the first call, and anew after a loss. */
export interface Connection {
  readonly client: UndiciClient;
  /** It is open now: a call on it may find that the server has just closed it. */
  isOpen: boolean;
}

/** The connections to one endpoint, one call on each at a time. */
export interface Connections {
  readonly settings: ConnectionSettings;
  /** One that no other call has; the one used last, whose buffers are warm and which the server closes last. */
  take: () => Connection;
  /** One that is not open yet, for a call whose kept connection died before any answer. */
  takeNew: () => Connection;
  /** Its call is over, however it ended. Once for each `take`. */
  give: (connection: Connection) => void;
  /** Takes no new call; those under way end as they would. */
  close: () => void;
}

/** Below uvicorn's 5 s, so that we let go of an idle connection before the server does (hazards: keep-alive race). */
const KEEP_ALIVE_MS = 4_000;

/**
 * A stack in place of undici's Pool, which looks through all its connections for a free one at each call and tells
 * nobody whether it took a kept one.
 */
export function createConnections(settings: ConnectionSettings): Connections {
  const idle: Connection[] = [];
  const options: UndiciClient.Options = { ...CLIENT_OPTIONS, connect: connectorOf(settings) };
  let isClosed = false;
  const takeNew = (): Connection => {
    const connection: Connection = { client: new Client(settings.origin, options), isOpen: false };
    connection.client.on('connect', () => {
      connection.isOpen = true;
    });
    connection.client.on('disconnect', () => {
      connection.isOpen = false;
    });
    return connection;
  };
  return {
    settings,
    take: () => idle.pop() ?? takeNew(),
    takeNew,
    give: (connection) => {
      if (isClosed) {
        void connection.client.close();
        return;
      }
      // The least used one goes once its connection is gone: so the stack shrinks after a peak.
      if (idle[0]?.isOpen === false) void idle.shift()?.client.close();
      idle.push(connection);
    },
    close: () => {
      isClosed = true;
      for (const { client } of idle.splice(0)) void client.close();
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
