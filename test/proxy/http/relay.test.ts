import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Exchange } from '../../../proxy/http/exchange.ts';
import { Relay } from '../../../proxy/http/relay.ts';

/** An answer whose client takes nothing until told. */
class SlowAnswer extends EventEmitter {
  destroyed = false;
  takes = false;
  readonly written: string[] = [];
  readonly socket = {
    writableLength: 1,
    destroySoon: (): void => this.destroy(),
    setTimeout: (ms: number): void => void this.limits.push(ms),
    once: (): void => undefined,
  };
  readonly limits: number[] = [];
  writeHead(): void {}
  write(bytes: Buffer): boolean {
    this.written.push(bytes.toString());
    return this.takes;
  }
  end(): void {}
  destroy(): void {
    this.destroyed = true;
  }
}

interface Relayed {
  readonly relay: Relay;
  readonly res: SlowAnswer;
  readonly abandoned: string[];
  readonly flow: string[];
}

function relayed(): Relayed {
  const res = new SlowAnswer();
  const abandoned: string[] = [];
  const flow: string[] = [];
  const exchange = {
    res,
    alarm: {},
    id: 'x',
    pool: '',
    backend: '',
    rateHeaders: [],
    closes: () => false,
  } as unknown as Exchange;
  const relay = new Relay(exchange);
  const bytes = { pause: () => flow.push('pause'), resume: () => flow.push('resume') };
  relay.begin({ ...bytes, abandon: () => abandoned.push('abandoned') }, 200, ['content-type', 'text/event-stream']);
  return { relay, res, abandoned, flow };
}

async function data(relay: Relay, ...chunks: string[]): Promise<void> {
  for (const chunk of chunks) relay.data(Buffer.from(chunk));
  await new Promise((resolve) => setImmediate(resolve));
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

describe('a relay', () => {
  test('writes what came together at once', async () => {
    const { relay, res } = relayed();
    await data(relay, 'a', 'b', 'c');
    expect(res.written).toEqual(['abc']);
  });

  test('lets a client that takes nothing for a minute go', async () => {
    const { relay, res, abandoned } = relayed();
    await data(relay, 'a');
    vi.advanceTimersByTime(59_000);
    expect(res.destroyed).toBe(false);
    vi.advanceTimersByTime(2_000);
    expect([res.destroyed, abandoned]).toEqual([true, ['abandoned']]);
  });

  test('keeps one that was slow once, also where a chunk came between its pause and the upstream’s', async () => {
    const { relay, res, abandoned, flow } = relayed();
    await data(relay, 'a');
    await data(relay, 'b');
    expect(flow).toEqual(['pause']);
    res.takes = true;
    res.emit('drain');
    expect(flow).toEqual(['pause', 'resume']);
    vi.advanceTimersByTime(600_000);
    await data(relay, 'c');
    expect([res.destroyed, abandoned, res.written]).toEqual([false, [], ['a', 'b', 'c']]);
    res.takes = false;
    await data(relay, 'd');
    vi.advanceTimersByTime(61_000);
    expect(res.destroyed).toBe(true);
  });

  test('that has ended or was cut waits for nobody but, for a minute, for its reader', async () => {
    for (const end of ['end', 'cut'] as const) {
      const { relay, abandoned, res } = relayed();
      await data(relay, 'a');
      relay[end]();
      await new Promise((resolve) => setImmediate(resolve));
      vi.advanceTimersByTime(600_000);
      expect(abandoned).toEqual([]);
      expect(res.limits).toEqual([60_000]);
    }
  });
});
