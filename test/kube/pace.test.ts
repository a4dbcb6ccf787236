import { describe, expect, test } from 'vitest';
import { createBackoff } from '../../kube/backoff.ts';
import { createPacer, resourceOfPath } from '../../kube/pace.ts';

describe('the backoff', () => {
  const timings = { minMs: 200, maxMs: 5_000, stableMs: 60_000 };

  test('doubles from .2 s to 5 s, each × .8 to 1.2', () => {
    const low = createBackoff(
      timings,
      () => 0,
      () => 0,
    );
    const high = createBackoff(
      timings,
      () => 0,
      () => 1,
    );
    expect([1, 2, 3, 4, 5, 6, 7].map(low.next)).toEqual([160, 320, 640, 1280, 2560, 4000, 4000]);
    expect([1, 2, 3, 4, 5, 6, 7].map(() => Math.round(high.next()))).toEqual([240, 480, 960, 1920, 3840, 6000, 6000]);
  });

  test('starts again only after 60 s without a failure, its own pause not counted', () => {
    let nowMs = 0;
    const backoff = createBackoff(
      timings,
      () => nowMs,
      () => 0.5,
    );
    expect([backoff.next(), backoff.next()]).toEqual([200, 400]);
    nowMs = 60_399;
    expect(backoff.next()).toBe(800);
    nowMs += 800 + 60_000;
    expect(backoff.next()).toBe(200);
  });
});

describe('the pacer', () => {
  test('lets a resource through at once until it is in trouble, then once each 110 ms, and again after 10 s of calm', async () => {
    let nowMs = 0;
    const pacer = createPacer(() => nowMs);
    const passed = async (): Promise<boolean> => {
      const turn = pacer.turn('pods').then(() => true);
      return Promise.race([turn, new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))]);
    };
    expect([await passed(), await passed()]).toEqual([true, true]);
    pacer.trouble('pods');
    expect(await passed()).toBe(false);
    nowMs = 1_000;
    expect([await passed(), await passed()]).toEqual([true, false]);
    expect(await pacer.turn('secrets')).toBe(undefined);
    nowMs = 10_000;
    expect([await passed(), await passed()]).toEqual([true, true]);
  });

  test('gives a turn up when its signal is aborted', async () => {
    const pacer = createPacer(() => 0);
    pacer.trouble('pods');
    await pacer.turn('pods');
    const aborting = new AbortController();
    const turn = pacer.turn('pods', aborting.signal);
    aborting.abort();
    await expect(turn).rejects.toThrow();
  });

  test.each([
    ['/api/v1/pods', '/api/v1/pods'],
    ['/api/v1/namespaces/a/pods', '/api/v1/pods'],
    ['/api/v1/namespaces/a/pods/b', '/api/v1/pods'],
    ['/api/v1/namespaces/a', '/api/v1/namespaces'],
    ['/apis/sluice.dev/v1alpha1/namespaces/a/llmpools/b/status', '/apis/sluice.dev/v1alpha1/llmpools'],
    ['/version', '/version'],
  ])('%s is %s', (path, resource) => {
    expect(resourceOfPath(path)).toBe(resource);
  });
});
