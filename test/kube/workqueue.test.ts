import { describe, expect, test } from 'vitest';
import { ApiError } from '../../kube/api-error.ts';
import { createWorkqueue, type WorkqueueOptions } from '../../kube/workqueue.ts';
import { eventually } from '../support/eventually.ts';
import { recordLog } from './recorded-log.ts';

/** A queue whose runs end when told: `starts` are the keys in the order they started, `end` ends the oldest run. */
function startQueue(options: Partial<WorkqueueOptions> = {}) {
  const starts: string[] = [];
  const open: { key: string; resolve: () => void; reject: (error: Error) => void }[] = [];
  const log = recordLog();
  const process = (key: string): Promise<void> => {
    starts.push(key);
    return new Promise((resolve, reject) => open.push({ key, resolve, reject }));
  };
  const queue = createWorkqueue({ process, log, ...options });
  const end = async (error?: Error): Promise<void> => {
    const run = open.shift();
    if (error) run?.reject(error);
    else run?.resolve();
    await new Promise(setImmediate);
  };
  return { queue, starts, end, log };
}

describe('the workqueue', () => {
  test('starts keys in the order they came, so many at a time', async () => {
    const { queue, starts, end } = startQueue({ concurrency: 2 });
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key);
    expect(starts).toEqual(['a', 'b']);
    expect(queue.size()).toBe(2);
    await end();
    expect(starts).toEqual(['a', 'b', 'c']);
    await end();
    expect(starts).toEqual(['a', 'b', 'c', 'd']);
    expect(queue.size()).toBe(0);
  });

  test('makes one run of many adds, and one more of those that came while it ran', async () => {
    const { queue, starts, end } = startQueue({ concurrency: 1 });
    for (const key of ['a', 'b', 'b', 'b', 'a', 'a']) queue.add(key);
    expect(starts).toEqual(['a']);
    await end();
    expect(starts).toEqual(['a', 'b']);
    await end();
    await end();
    expect(starts).toEqual(['a', 'b', 'a']);
    expect(queue.size()).toBe(0);
  });

  test('never runs a key twice at once, and does not let it hold up the others', async () => {
    const { queue, starts, end } = startQueue({ concurrency: 3 });
    queue.add('a');
    queue.add('a');
    queue.add('b');
    expect(starts).toEqual(['a', 'b']);
    await end();
    expect(starts).toEqual(['a', 'b', 'a']);
  });

  test('tries a failed key again, each time later up to the cap, and forgets its failures on success', async () => {
    const { queue, starts, end, log } = startQueue({ maxRetryMs: 20 });
    queue.add('a');
    for (let n = 1; n <= 5; n++) {
      await end(new Error('refused'));
      await eventually('the next run', () => starts.length === n + 1);
    }
    await end();
    queue.add('a');
    await end(new Error('refused'));
    const waits = log.lines.map(({ fields }) => (fields as { retryInMs: number }).retryInMs);
    expect(waits).toEqual([5, 10, 20, 20, 20, 5]);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'debug', 'debug', 'debug', 'debug', 'warn']);
    await queue.close();
  });

  test('waits as long as the API server asked, a minute at most', async () => {
    const { queue, end, log } = startQueue();
    queue.add('a');
    await end(new ApiError(429, 'TooManyRequests', 'too many', 3_000));
    queue.add('a');
    await end(new ApiError(429, 'TooManyRequests', 'too many', 3_600_000));
    const waits = log.lines.map(({ fields }) => (fields as { retryInMs: number }).retryInMs);
    expect(waits).toEqual([3_000, 60_000]);
    await queue.close();
  });

  test('also takes an error that is thrown at once', async () => {
    const { queue, starts } = startQueue();
    const log = recordLog();
    const throwing = createWorkqueue({
      log,
      process: (key) => {
        starts.push(key);
        throw new Error('at once');
      },
    });
    throwing.add('a');
    await eventually('a second run', () => starts.length >= 2);
    await throwing.close();
    await queue.close();
  });

  test('adds a key after its time, the earliest asked for', async () => {
    const { queue, starts, end } = startQueue();
    queue.addAfter('a', 60_000);
    queue.addAfter('a', 20);
    queue.addAfter('a', 60_000);
    expect([starts, queue.size()]).toEqual([[], 0]);
    await eventually('a is due', () => starts.length === 1);
    await end();
    await queue.close();
  });

  test('closes when what runs has ended, and starts nothing more', async () => {
    const { queue, starts, end } = startQueue({ concurrency: 1 });
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 1);
    let closed = false;
    const closing = queue.close().then(() => {
      closed = true;
    });
    queue.add('d');
    queue.addAfter('e', 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(closed).toBe(false);
    await end(new Error('too late'));
    await closing;
    expect(starts).toEqual(['a']);
  });
});
