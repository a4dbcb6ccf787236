import { Call } from './call.ts';
import { clientError } from './client-error.ts';
import type { ConnectionSettings, Connections, Incoming, Outgoing, Sending } from './connection.ts';
import { wayTo } from './open-socket.ts';
import { requestHead } from './request-bytes.ts';
import { type Keeper, Wire } from './wire.ts';

/** Below uvicorn's 5 s, so that we let go of an idle connection before the server does. */
const KEEP_MS = 4_000;

/** The connections to one endpoint; none is open yet. `now` in milliseconds, going only forward. */
export function createConnections(settings: ConnectionSettings, now = (): number => performance.now()): Connections {
  const way = wayTo(settings);
  /** The one used last is last: its buffers are warm, and the server closes it last. */
  const idle: Wire[] = [];
  let isClosed = false;
  let sweeper: NodeJS.Timeout | undefined;

  const keeper: Keeper = {
    keep: (wire, seconds) => {
      // A second less than the server: it may close while our next request is on its way.
      const keepMs = seconds === undefined ? KEEP_MS : Math.min(KEEP_MS, (seconds - 1) * 1000);
      if (isClosed || keepMs <= 0) {
        wire.drop();
        return;
      }
      wire.idleUntilMs = now() + keepMs;
      idle.push(wire);
      sweeper ??= setTimeout(sweep, keepMs).unref();
    },
    forget: (wire) => {
      const index = idle.indexOf(wire);
      if (index >= 0) idle.splice(index, 1);
    },
  };

  const sweep = (): void => {
    sweeper = undefined;
    const at = now();
    for (const wire of idle.filter(({ idleUntilMs }) => idleUntilMs <= at)) wire.drop();
    if (idle.length === 0) return;
    const next = Math.min(...idle.map(({ idleUntilMs }) => idleUntilMs));
    sweeper = setTimeout(sweep, Math.ceil(next - at)).unref();
  };

  /** One that waited too long is not used, also where the timer is late. */
  const takeIdle = (): Wire | undefined => {
    for (let wire = idle.pop(); wire !== undefined; wire = idle.pop()) {
      if (wire.isOpen && wire.idleUntilMs > now()) return wire;
      wire.drop();
    }
    return undefined;
  };

  return {
    settings,
    send: (outgoing: Outgoing, incoming: Incoming, fresh = false): Sending => {
      try {
        // A call that was under way when this was closed may go once more.
        if (isClosed && !fresh) throw clientError('ERR_UPSTREAM_CLOSED', 'the connections to this endpoint are closed');
        const head = requestHead(outgoing, way.hostLine);
        const kept = fresh ? undefined : takeIdle();
        const wire = kept ?? new Wire(way, settings.connectMs, keeper);
        const call = new Call(incoming, outgoing.method, wire, kept !== undefined);
        wire.send(outgoing, head, call);
        return call;
      } catch (error) {
        const call = new Call(incoming, outgoing.method, undefined, false);
        process.nextTick(() => call.fail(error as Error));
        return call;
      }
    },
    close: () => {
      isClosed = true;
      clearTimeout(sweeper);
      for (const wire of idle.splice(0)) wire.drop();
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
