import { type ClientHttp2Stream, constants } from 'node:http2';
import { openSession, SESSION_TIMES, type Session, type SessionSettings, type SessionTimes } from './session.ts';

/** The connections to one endpoint: one, and up to four where the remote lets few streams be open on each. */
export interface Sessions {
  readonly settings: SessionSettings;
  /** `host:port`, as `:authority` names it. */
  readonly authority: string;
  /**
   * A stream with these flat headers on a connection that is ready and has room; undefined where there is none: `wait`.
   * Every stream ends with 'close'; REFUSED_STREAM as its `rstCode` says that the remote never saw it.
   * @throws TypeError where Node refuses the headers.
   */
  readonly openStream: (headers: readonly string[]) => ClientHttp2Stream | undefined;
  /**
   * Called once: when a stream can be opened, which has to be done at once, or with the error where none will be. Gives
   * what undoes it.
   */
  readonly wait: (onRoom: OnRoom) => () => void;
  /** Takes no new streams; open ones end as they would. */
  readonly close: () => void;
}

export type OnRoom = (error: Error | undefined) => void;

const MAX_SESSIONS = 4;
/** Calls that wait for room at one endpoint. */
const MAX_WAITING = 4096;
/** What the interval between pings grows to where a remote wants fewer. */
const MAX_PING_MS = 300_000;
/**
 * Remotes end a connection on which too many streams are cancelled, and with it all others on it: Node's servers at
 * 1,000 beyond 33 a second. Before that we leave it to the streams that are open on it, and connect anew.
 */
const MAX_RESETS = 400;
const FORGIVEN_PER_SECOND = 33;
/** Connections to one endpoint, those left included; beyond that none is left any more. */
const MAX_LEFT = 32;

/** `onConnected`: a connection was made. */
export interface SessionsOptions {
  readonly times?: SessionTimes;
  readonly onConnected?: () => void;
}

/** Connects with the first call, and anew with the first after a loss. */
export function createSessions(
  settings: SessionSettings,
  { times = SESSION_TIMES, onConnected = ignore }: SessionsOptions = {},
): Sessions {
  const sessions: Session[] = [];
  const waiting = new Set<OnRoom>();
  let { pingMs } = times;
  let isClosed = false;

  const connect = (): void => {
    const session = openSession(
      settings,
      { ...times, pingMs },
      {
        onConnected,
        onReady: serve,
        onClose: (error) => {
          sessions.splice(sessions.indexOf(session), 1);
          // One that could not be opened says nothing where others can: those who wait get room on them.
          if (error !== undefined && !sessions.some(isUsable)) failAll(error);
          else if (waiting.size > 0) grow();
        },
        onTooManyPings: () => {
          pingMs = Math.min(MAX_PING_MS, pingMs * 2);
        },
      },
    );
    sessions.push(session);
  };

  const grow = (): void => {
    const isConnecting = sessions.some((session) => session.limit === 0 && !session.http2.closed);
    if (!isConnecting && sessions.filter(isUsable).length < MAX_SESSIONS) connect();
  };

  const serve = (): void => {
    for (const onRoom of waiting) {
      if (!sessions.some(hasRoom)) {
        grow();
        return;
      }
      waiting.delete(onRoom);
      onRoom(undefined);
    }
  };

  const failAll = (error: Error): void => {
    const failed = [...waiting];
    waiting.clear();
    for (const onRoom of failed) onRoom(error);
  };

  const openStream = (headers: readonly string[]): ClientHttp2Stream | undefined => {
    const session = sessions.find(hasRoom);
    if (session === undefined || isClosed) return undefined;
    const stream = session.http2.request(headers, REQUEST);
    stream.on('error', ignore);
    session.streams.add(stream);
    session.usedAt = performance.now();
    stream.once('close', () => {
      session.streams.delete(stream);
      if (stream.rstCode === constants.NGHTTP2_CANCEL && isWorn(session) && sessions.length < MAX_LEFT) {
        session.http2.close();
      }
      if (waiting.size > 0) serve();
    });
    return stream;
  };

  return {
    settings,
    authority: new URL(settings.origin).host,
    openStream,
    wait: (onRoom) => {
      if (isClosed || waiting.size >= MAX_WAITING) {
        const why = isClosed ? 'the endpoint is gone' : `${MAX_WAITING} calls wait for a connection already`;
        queueMicrotask(() => onRoom(notSent(why)));
        return () => {};
      }
      waiting.add(onRoom);
      grow();
      return () => waiting.delete(onRoom);
    },
    close: () => {
      isClosed = true;
      failAll(notSent('the endpoint is gone'));
      for (const { http2 } of sessions) http2.close();
    },
  };
}

const REQUEST = { endStream: false };

/** It says nothing of the endpoint. */
function notSent(why: string): Error {
  return Object.assign(new Error(why), { code: 'ERR_UPSTREAM_CLOSED' });
}

/** Its 'close' says all; without a listener an error would end the process. */
function ignore(): void {}

/** It may still serve: it is connecting, or was not told to go away. */
function isUsable({ http2 }: Session): boolean {
  return !http2.closed && !http2.destroyed;
}

/** One more stream on it was cancelled: whether that is as many as it should see. */
function isWorn(session: Session): boolean {
  const now = performance.now();
  const forgiven = ((now - session.resetsAt) / 1000) * FORGIVEN_PER_SECOND;
  session.resets = Math.max(0, session.resets - forgiven) + 1;
  session.resetsAt = now;
  return session.resets > MAX_RESETS;
}

function hasRoom(session: Session): boolean {
  return session.streams.size < session.limit && isUsable(session);
}
