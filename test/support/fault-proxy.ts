import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What is done to the next `times` requests (default 1) whose `METHOD /path?query` matches. */
export interface Fault {
  readonly match: RegExp;
  readonly times?: number;
  /** Waits before anything else. */
  readonly delayMs?: number;
  /** Given instead of asking the API server; absent: its own answer passes. */
  readonly answer?: FaultAnswer;
  /** Lets so many bytes of the API server's body pass, then cuts the connection. */
  readonly cutAfterBytes?: number;
}

export interface FaultAnswer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

export interface SeenRequest {
  readonly at: number;
  readonly line: string;
  readonly authorization: string;
}

/** Stands in front of a real kube-apiserver, with its certificate, and misbehaves when told. */
export interface FaultProxy {
  readonly url: string;
  /** Every request so far. */
  readonly seen: readonly SeenRequest[];
  /** Adds a fault; the function takes it back. */
  readonly fault: (fault: Fault) => () => void;
  /** Resets every connection. */
  readonly cut: () => void;
  /** From now on no byte passes on the connections there are, and none is closed; `all`: on new ones neither. */
  readonly stall: (which: 'existing' | 'all') => void;
  /** New connections pass again; stalled ones stay so. */
  readonly resume: () => void;
  /** How many connections were ever made. */
  readonly accepted: () => number;
  readonly close: () => Promise<void>;
}

export async function startFaultProxy(api: { readonly url: string; readonly caFile: string }): Promise<FaultProxy> {
  const seen: SeenRequest[] = [];
  const faults = new Set<Fault & { left: number }>();
  const door = await startDoor(api, seen, faults);
  const relay = await startRelay(portOf(door));
  return {
    url: `https://127.0.0.1:${portOf(relay.server)}`,
    seen,
    fault: (fault) => {
      const armed = { ...fault, left: fault.times ?? 1 };
      faults.add(armed);
      return () => faults.delete(armed);
    },
    ...{ cut: relay.cut, stall: relay.stall, resume: relay.resume, accepted: relay.accepted },
    close: async () => {
      door.closeAllConnections();
      relay.cut();
      await Promise.all([door, relay.server].map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

type ArmedFaults = Set<Fault & { left: number }>;

/** The part that knows HTTP: answers in the API server's place, or passes on. */
async function startDoor(
  api: { readonly url: string; readonly caFile: string },
  seen: SeenRequest[],
  faults: ArmedFaults,
): Promise<https.Server> {
  const cert = readFileSync(api.caFile);
  const key = readFileSync(join(dirname(api.caFile), 'apiserver.key'));
  const agent = new https.Agent({ ca: cert, keepAlive: true });
  const serve = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const line = `${req.method} ${req.url}`;
    seen.push({ at: performance.now(), line, authorization: req.headers.authorization ?? '' });
    const fault = [...faults].find(({ match, left }) => left > 0 && match.test(line));
    if (fault) fault.left -= 1;
    if (fault?.delayMs) await sleep(fault.delayMs);
    if (fault?.answer) {
      const { status, headers, body = '' } = fault.answer;
      req.resume();
      res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
    } else {
      passOn(req, res, api.url, agent, fault?.cutAfterBytes);
    }
  };
  const server = https.createServer({ cert, key, requestTimeout: 0 }, (req, res) => void serve(req, res));
  server.on('close', () => agent.destroy());
  return listening(server);
}

function passOn(
  req: IncomingMessage,
  res: ServerResponse,
  target: string,
  agent: https.Agent,
  cutAfterBytes = Number.POSITIVE_INFINITY,
): void {
  let left = cutAfterBytes;
  const options = { agent, method: req.method, headers: req.headers };
  const onward = https.request(new URL(req.url ?? '/', target), options, (answer) => {
    res.writeHead(answer.statusCode ?? 502, answer.headers);
    res.flushHeaders();
    answer.on('data', (chunk: Buffer) => {
      res.write(chunk.subarray(0, left));
      left -= chunk.length;
      // Once what was let through is out.
      if (left <= 0) setImmediate(() => res.destroy());
    });
    answer.on('end', () => left > 0 && res.end());
    answer.on('error', () => res.destroy());
  });
  onward.on('error', () => res.destroy());
  res.on('close', () => onward.destroy());
  req.pipe(onward);
}

interface Relay {
  readonly server: Server;
  readonly cut: () => void;
  readonly stall: FaultProxy['stall'];
  readonly resume: () => void;
  readonly accepted: () => number;
}

/** The part that knows only bytes: a stalled pair is read no more, so neither data nor FIN gets through. */
async function startRelay(port: number): Promise<Relay> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let stalled = false;
  let accepted = 0;
  const server = createServer((outer) => {
    accepted += 1;
    const inner = connect(port, '127.0.0.1');
    const pair = [outer, inner] as const;
    pairs.add(pair);
    for (const [from, to] of [pair, [inner, outer] as const]) {
      from.setNoDelay();
      from.on('error', () => undefined);
      from.on('close', () => {
        to.destroy();
        pairs.delete(pair);
      });
      if (!stalled) from.pipe(to);
    }
  });
  return {
    server: await listening(server),
    cut: () => {
      for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    },
    stall: (which) => {
      stalled = which === 'all';
      for (const [outer, inner] of pairs) {
        outer.unpipe(inner).pause();
        inner.unpipe(outer).pause();
      }
    },
    resume: () => {
      stalled = false;
    },
    accepted: () => accepted,
  };
}

async function listening<S extends Server>(server: S): Promise<S> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
