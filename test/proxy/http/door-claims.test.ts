import { describe, expect, test } from 'vitest';
import type { Behaviour } from '../../support/fake-llm.ts';
import { startFakeLlm } from '../../support/fake-llm.ts';
import { backend, chat, type Door, fakes, openDoor, pool } from './door.ts';

const CHAT = '/v1/chat/completions';

interface Run {
  readonly statuses: readonly number[];
  readonly longestMs: number;
  readonly seconds: number;
}

/** So many calls by so many callers at once; `between` is told of each before it is made. */
async function run(
  door: Door,
  calls: number,
  callers: number,
  between: (n: number) => unknown = () => 0,
): Promise<Run> {
  const statuses: number[] = [];
  let begun = 0;
  let longestMs = 0;
  const startedAt = performance.now();
  const caller = async (): Promise<void> => {
    while (begun < calls) {
      begun += 1;
      await between(begun);
      const callAt = performance.now();
      const response = await door.post(CHAT, chat());
      await response.text();
      longestMs = Math.max(longestMs, performance.now() - callAt);
      statuses.push(response.status);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { statuses, longestMs, seconds: (performance.now() - startedAt) / 1000 };
}

const failuresOf = ({ statuses }: Run): number => statuses.filter((status) => status !== 200).length;

describe('what was claimed of several endpoints', () => {
  test('[V-12] throughput grows with their number: two give about twice as much as one, four about four times', async () => {
    const servers = await fakes('a', 'b', 'c', 'd');
    for (const server of servers) server.behave({ delayMs: 60 });
    const door = await openDoor();
    const rateWith = async (endpoints: number): Promise<number> => {
      const backends = servers.slice(0, endpoints).map((server) => backend(server, { maxConcurrent: 2 }));
      await door.put(pool('chat', backends));
      const calls = 20 * endpoints;
      return calls / (await run(door, calls, 16)).seconds;
    };
    await rateWith(1);
    const [one, two, four] = [await rateWith(1), await rateWith(2), await rateWith(4)];
    expect(two / one).toBeGreaterThan(1.7);
    expect(four / one).toBeGreaterThan(3);
  });

  test('[V-12] one that dies under load costs no call, and none of them a second', async () => {
    const [a, b] = await fakes('a', 'b');
    for (const server of [a, b]) server.behave({ delayMs: 10 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a), backend(b)]));
    const result = await run(door, 300, 10, (n) => (n === 100 ? a.stop() : undefined));
    expect(failuresOf(result)).toBe(0);
    expect(result.longestMs).toBeLessThan(1_000);
    expect(b.calls.length).toBeGreaterThan(200);
  });

  test('[V-12] with a fallback 99.9 % of calls are answered, however the primaries fail', async () => {
    const [a, b, spare] = await fakes('a', 'b', 'spare');
    const door = await openDoor();
    const rules = { timeouts: { firstByteMs: 500 }, ejection: { failureMs: 300, rateLimitedMs: 300 } };
    await door.put(pool('chat', [backend(a), backend(b), backend(spare, { tier: 1 })], rules));
    const faults: Behaviour[] = [
      ...[{ status: 500 }, { status: 429 }, { closeBeforeHeaders: true }, {}, { garbage: true }, { status: 503 }],
      ...[{ delayMs: 10_000 }, { body: '' }, { cutAfterBytes: 5 }, { body: '{"error":"out of memory"}' }],
    ];
    let revived: Awaited<ReturnType<typeof startFakeLlm>> | undefined;
    const misbehave = async (n: number): Promise<void> => {
      if (n >= 200 && n % 100 === 0) for (const server of [a, b]) server.behave(faults[(n / 100) % faults.length]);
      if (n === 650) await a.stop();
      if (n === 850) revived = await startFakeLlm({ name: 'a', port: a.port });
    };
    const result = await run(door, 1_200, 6, misbehave);
    await revived?.stop();
    expect(failuresOf(result)).toBeLessThanOrEqual(1);
    expect(a.calls.length + b.calls.length).toBeGreaterThan(200);
    expect(spare.calls.length).toBeGreaterThan(200);
  });
});
