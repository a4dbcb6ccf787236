import { describe, expect, test, vi } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { backend, chat, type Door, errorOf, fakes, openDoor, pool } from './door.ts';
import { seriesOf } from './door-series.ts';

const CHAT = '/v1/chat/completions';

const heap = vi.hoisted(() => ({ used: 1, limit: 100 }));
vi.mock('node:v8', async (original) => ({
  ...(await original<object>()),
  getHeapStatistics: () => ({ used_heap_size: heap.used, heap_size_limit: heap.limit }),
}));

/** Nothing else runs in this process for so long. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

async function statusOf(door: Door): Promise<number> {
  const response = await door.post(CHAT, chat());
  await response.text();
  return response.status;
}

describe('under overload', () => {
  test('a full heap refuses new work with 503 and when to come again, counts it, stays ready, and is over in time', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 700 });
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const open = statusOf(door);
    await expect.poll(() => a.calls.length).toBe(1);
    heap.used = 95;
    const error = await eventually('it is shed', async () => {
      const response = await door.post(CHAT, chat(), { headers: { 'x-fake': '{}' } });
      if (response.status === 503) return errorOf(response);
      await response.text();
      return undefined;
    });
    expect(error).toMatchObject({ code: 'overloaded', type: 'server_error' });
    expect(Number(error.retryAfter)).toBeGreaterThanOrEqual(1);
    expect(error.message).toContain('heap');
    expect(await seriesOf(door, 'sluice_shed_total', { reason: 'heap' })).toBeGreaterThanOrEqual(1);
    expect((await fetch(`${door.adminUrl}/readyz`)).status).toBe(200);
    expect((await door.get('/v1/models')).status).toBe(200);
    expect(await open, 'what is under way goes on').toBe(200);
    heap.used = 10;
    a.behave();
    await eventually('it is served again', async () => (await statusOf(door)) === 200);
  });

  test('an event loop that is late again and again refuses new work, and serves again once it is not', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const reason = (): Promise<number | undefined> => seriesOf(door, 'sluice_shed_total', { reason: 'event_loop' });
    standStill(850);
    expect(await statusOf(door), 'once is no overload').toBe(200);
    // The looks come each 250 ms; each of these is more than half a second late.
    for (let n = 0; n < 5; n += 1) {
      standStill(850);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const error = await errorOf(await door.post(CHAT, chat()));
    expect(error).toMatchObject({ status: 503, code: 'overloaded' });
    expect(error.message).toContain('event_loop');
    expect(await reason()).toBe(1);
    await eventually('it is served again', async () => (await statusOf(door)) === 200);
  });

  test('bodies beyond what may be held together are refused, and what is under way ends well', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 300 });
    const door = await openDoor({ maxBodyBytes: 1 << 20, maxHeldBytes: 1 << 20 });
    await door.put(pool('chat', [backend(a)]));
    const large = chat('chat', { pad: 'x'.repeat(600 << 10) });
    const first = door.post(CHAT, large);
    await expect.poll(() => a.calls.length).toBe(1);
    const error = await errorOf(await door.post(CHAT, large));
    expect(error).toMatchObject({ status: 503, code: 'overloaded' });
    expect(Number(error.retryAfter)).toBeGreaterThanOrEqual(1);
    expect(await statusOf(door), 'a small one has room').toBe(200);
    expect((await first).status).toBe(200);
    expect((await door.post(CHAT, large)).status).toBe(200);
  });
});
