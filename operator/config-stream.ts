import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from 'undici';
import type { Log } from '../program/log.ts';
import { ConfigReport, PROXY_ID_HEADER, ProxyId } from '../proxy/config/schema.ts';

/** A proxy sends an empty line each 10 s: without one for this long the connection is half open. */
const SILENCE_MS = 25_000;
const HEADERS_MS = 5_000;
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;
/** Far above a report with the longest message: what sends longer lines is no proxy of ours. */
const MAX_LINE = 1024 * 1024;
/** A proxy that sends no empty line after its first reports is taken as heard after this long. */
const FIRST_REPORTS_MS = 1_000;

export interface ConfigStreamOptions {
  readonly origin: string;
  readonly agent: Agent;
  /**
   * A connection is there: what it reports is all there is, once `heard` follows. `proxyId`: what the proxy calls
   * itself; undefined: it is older than that.
   */
  readonly opened: (proxyId: string | undefined) => void;
  readonly report: (report: ConfigReport) => void;
  /** Its reports of what it held when we connected have all come. */
  readonly heard: () => void;
  /** The connection ended after `opened`; not called after `stop`. */
  readonly lost: () => void;
  readonly log: Log;
  readonly random?: () => number;
}

/** Follows what one proxy says of its documents, and connects anew whenever that ends. */
export function followConfig(options: ConfigStreamOptions): { readonly stop: () => void } {
  const stopping = new AbortController();
  void run(options, stopping.signal);
  return { stop: () => stopping.abort() };
}

async function run(options: ConfigStreamOptions, signal: AbortSignal): Promise<void> {
  const { origin, log, random = Math.random } = options;
  let pauseMs = MIN_PAUSE_MS;
  while (!signal.aborted) {
    try {
      await readOnce(options, signal, () => {
        pauseMs = MIN_PAUSE_MS;
      });
    } catch (error) {
      if (signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      log[pauseMs === MAX_PAUSE_MS ? 'debug' : 'warn']({ proxy: origin, reason }, 'cannot hear what the proxy serves');
    }
    await sleep(pauseMs * (0.5 + random()), undefined, { signal }).catch(() => undefined);
    pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2);
  }
}

async function readOnce(options: ConfigStreamOptions, signal: AbortSignal, alive: () => void): Promise<void> {
  const { statusCode, headers, body } = await options.agent.request({
    origin: options.origin,
    path: '/config?watch=true',
    method: 'GET',
    headersTimeout: HEADERS_MS,
    // Between two pieces of the body, so this is the watchdog.
    bodyTimeout: SILENCE_MS,
    signal,
  });
  body.on('error', () => undefined);
  if (statusCode !== 200) {
    body.destroy();
    throw new Error(`GET /config?watch=true answered ${statusCode}`);
  }
  options.opened(ProxyId.safeParse(headers[PROXY_ID_HEADER]).data);
  let isHeard = false;
  const heard = (): void => {
    if (isHeard || signal.aborted) return;
    isHeard = true;
    alive();
    options.heard();
  };
  const timer = setTimeout(heard, FIRST_REPORTS_MS);
  try {
    for await (const line of linesOf(body)) {
      if (line === '') heard();
      else take(line, options);
    }
  } finally {
    clearTimeout(timer);
    if (!signal.aborted) options.lost();
  }
}

/** A line of a newer proxy that we cannot read says nothing to us. */
function take(line: string, { report, log, origin }: ConfigStreamOptions): void {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    json = undefined;
  }
  const result = ConfigReport.safeParse(json);
  if (result.success) report(result.data);
  else log.debug({ proxy: origin }, 'a line of the proxy is no report');
}

async function* linesOf(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > MAX_LINE) throw new Error('a line of the answer never ends');
    yield* parts;
  }
}
