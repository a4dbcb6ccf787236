import { Agent } from 'undici';

/** One call of the load. Throws where it failed; the message (or `code`) is its kind in the result. */
export type LoadCall = (url: string, agent: Agent, index: number) => Promise<void>;

export interface LoadOptions {
  /** The calls go round over these, as over two proxies. */
  readonly urls: readonly string[];
  readonly perSecond: number;
  /** Absent: until `stop`. */
  readonly durationMs?: number;
  /** Default: a chat completion for `model`, which must answer 200 with a choice. */
  readonly call?: LoadCall;
  readonly model?: string;
}

export interface LoadResult {
  readonly made: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Milliseconds from when a call was due, not from when it could be sent. */
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
  readonly seconds: number;
}

export interface Load {
  /** Starts no more, waits for the open calls, prints one line, and gives the result. */
  readonly stop: () => Promise<LoadResult>;
  /** The same result once `durationMs` are over. */
  readonly done: Promise<LoadResult>;
  /** Calls made so far. */
  readonly made: () => number;
}

/** Open-loop load: calls start at a fixed rate, however slowly they are answered. */
export function startLoad({
  urls,
  perSecond,
  durationMs = Infinity,
  model = 'chat',
  call = chatCall(model),
}: LoadOptions): Load {
  const agent = new Agent({ connections: 512, pipelining: 1, keepAliveTimeout: 60_000 });
  const latencies: number[] = [];
  const failures: Record<string, number> = {};
  const open = new Set<Promise<void>>();
  const begin = performance.now();
  const endMs = begin + durationMs;
  let made = 0;
  let stopped = false;
  let finish: (result: LoadResult) => void = () => undefined;
  const done = new Promise<LoadResult>((resolve) => {
    finish = resolve;
  });
  const fire = (dueMs: number) => {
    const index = made++;
    const running = call(urls[index % urls.length] ?? '', agent, index)
      .catch((error: Error & { code?: string }) => {
        const kind = error.code ?? error.message;
        failures[kind] = (failures[kind] ?? 0) + 1;
      })
      .finally(() => {
        latencies.push(performance.now() - dueMs);
        open.delete(running);
      });
    open.add(running);
  };
  const tick = setInterval(() => {
    const now = Math.min(performance.now(), endMs);
    for (let dueMs = begin + (made * 1000) / perSecond; dueMs < now; dueMs = begin + (made * 1000) / perSecond)
      fire(dueMs);
    if (now >= endMs) void stop();
  }, 1);
  const stop = async () => {
    if (stopped) return done;
    stopped = true;
    clearInterval(tick);
    const seconds = (performance.now() - begin) / 1000;
    await Promise.all(open);
    await agent.close();
    const result = resultOf(latencies, failures, seconds);
    process.stdout.write(`${describe(result, urls.length)}\n`);
    finish(result);
    return result;
  };
  return { stop, done, made: () => made };
}

function resultOf(latencies: number[], failures: Readonly<Record<string, number>>, seconds: number): LoadResult {
  const sorted = Float64Array.from(latencies).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  return {
    made: sorted.length,
    failed,
    failures,
    seconds,
    latencyMs: { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) },
  };
}

function describe({ made, failed, failures, latencyMs, seconds }: LoadResult, urls: number): string {
  const kinds = Object.entries(failures).map(([kind, count]) => `${kind} ×${count}`);
  const { p50, p99, max } = latencyMs;
  const why = kinds.length === 0 ? '' : ` (${kinds.join(', ')})`;
  const times = `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms`;
  return `open loop: ${made} calls made, ${failed} failed${why}; ${times}; ${(made / seconds).toFixed(0)}/s over ${urls} urls`;
}

/** A chat completion whose answer must be a 200 with a choice. */
function chatCall(model: string): LoadCall {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }] });
  return async (url, agent) => {
    const answer = await agent.request({
      origin: url,
      path: '/v1/chat/completions',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
    if (!text.includes('"choices"')) throw new Error('no choice');
  };
}
