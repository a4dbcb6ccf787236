import { type Added, addedLatency, median } from '../load/added-latency.ts';
import type { LoadCall } from '../support/open-loop.ts';
import { startPrinting } from './processes.ts';
import { poolOn, startProxyOn } from './proxy-process.ts';
import type { Row } from './row.ts';

/** Of each kind; both together come at twice the rate. */
const PER_SECOND = 50;
const ROUND_MS = 3_500;
const ROUNDS = 8;

/** What the proxy adds to a unary call at a fixed low rate, and what the floor adds, each over calling directly. */
export async function latency(): Promise<Row[]> {
  const upstream = await startPrinting('test/bench/upstream.ts', ['1024']);
  const floor = await startPrinting('test/bench/floor.ts', [String(upstream.port)]);
  const proxy = await startProxyOn([poolOn(upstream.port, 'chat')]);
  const over = (port: number): Promise<Added> =>
    addedLatency({
      ...{ urls: [''], perSecond: 2 * PER_SECOND, roundMs: ROUND_MS, rounds: ROUNDS },
      calls: { straight: callTo(upstream.port), other: callTo(port) },
    });
  try {
    const ours = await over(proxy.port);
    const theirs = await over(floor.port);
    const row = (percentile: 'p50' | 'p99', limitMs: number): Row => {
      const ms = median(ours[percentile]);
      return {
        what: `latency added at ${PER_SECOND} calls/s, ${percentile}`,
        ...{ ours: ms, floor: median(theirs[percentile]), unit: 'ms', bar: `<= ${limitMs}`, holds: ms <= limitMs },
      };
    };
    return [row('p50', 0.5), row('p99', 2)];
  } finally {
    await Promise.all([upstream.stop(), floor.stop(), proxy.stop()]);
  }
}

function callTo(port: number): LoadCall {
  const body = JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: 'x'.repeat(960) }] });
  return async (_, agent) => {
    const answer = await agent.request({
      ...{ origin: `http://127.0.0.1:${port}`, path: '/v1/chat/completions', method: 'POST' },
      ...{ headers: { 'content-type': 'application/json' }, body },
    });
    await answer.body.dump();
    if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
  };
}
