import { describe, expect, test } from 'vitest';
import type { EndpointState } from '../../../proxy/pool.ts';
import { stateOf as conditionOf, unavailability } from '../../../proxy/upstream/rest.ts';
import { stateOf } from '../balance/pools.ts';
import { Scene, TWO } from './scene.ts';

describe('why a pool has no endpoint to give', () => {
  test.each<[string, (scene: Scene) => void, 'cooling' | 'unhealthy', number]>([
    [
      'all cool down',
      (scene) => ['a', 'b'].map((name, n) => scene.end(name, 'rate_limited', { restMs: 2_500 + n })),
      'cooling',
      3,
    ],
    [
      'the one that is healthy cools down',
      (scene) => {
        scene.state('b').isHealthy = false;
        scene.state('b').nextCheckAt = scene.now + 4_100;
        scene.end('a', 'rate_limited', { restMs: 4_900 });
      },
      'cooling',
      5,
    ],
    [
      'one cools down, one rests for failures',
      (scene) => {
        scene.end('b', 'rate_limited', { restMs: 4_900 });
        scene.state('a').restUntil = scene.now + 1_200;
      },
      'unhealthy',
      2,
    ],
    [
      'all are unhealthy',
      (scene) => {
        for (const [name, inMs] of [
          ['a', 2_000],
          ['b', 1_100],
        ] as const) {
          scene.state(name).isHealthy = false;
          scene.state(name).nextCheckAt = scene.now + inMs;
        }
      },
      'unhealthy',
      2 + 10,
    ],
    [
      'it is unhealthy, and has passed one check of two',
      (scene) => {
        scene.state('b').isHealthy = false;
        scene.state('b').contraryChecks = 1;
        scene.state('b').nextCheckAt = scene.now + 1_100;
        scene.state('a').isHealthy = false;
        scene.state('a').nextCheckAt = scene.now + 100;
      },
      'unhealthy',
      2,
    ],
    [
      'it is unhealthy, and a check that passes does not end its rest',
      (scene) => {
        for (const name of ['a', 'b']) {
          scene.end(name, 'rate_limited', { restMs: 4_500 });
          scene.state(name).isHealthy = false;
          scene.state(name).contraryChecks = 1;
          scene.state(name).nextCheckAt = scene.now + 100;
        }
      },
      'unhealthy',
      5,
    ],
  ])('%s', (_, prepare, kind, retryAfterSeconds) => {
    const healthCheck = { path: '', intervalMs: 10_000, timeoutMs: 1_000, unhealthyThreshold: 2, healthyThreshold: 2 };
    const scene = new Scene(TWO, { healthCheck });
    prepare(scene);
    const soonest = unavailability(stateOf(scene.pool), scene.now);
    expect(soonest).toEqual({ kind, retryAfterSeconds });
  });

  test('a rest that is all but over is still a second', () => {
    const scene = new Scene();
    for (const name of ['a', 'b']) scene.end(name, 'rate_limited', { restMs: 1 });
    expect(unavailability(stateOf(scene.pool), scene.now)).toEqual({ kind: 'cooling', retryAfterSeconds: 1 });
  });

  test.each([
    ['it has none', []],
    ['all are drained', [{ name: 'a', weight: 0 }]],
  ])('%s: as long again as it has been so, from one second to sixty', (_, plans) => {
    const scene = new Scene(plans);
    const state = stateOf(scene.pool);
    const seconds = [0, 700, 5_000, 20_000, 3_600_000].map((ms) => unavailability(state, scene.now + ms));
    expect(seconds.map(({ retryAfterSeconds }) => retryAfterSeconds)).toEqual([1, 1, 5, 20, 60]);
    expect(new Set(seconds.map(({ kind }) => kind))).toEqual(new Set(['unhealthy']));
  });

  test('its CR is gone', () => {
    expect(unavailability(stateOf(undefined), 7)).toEqual({ kind: 'unhealthy', retryAfterSeconds: 1 });
  });
});

describe('how an endpoint is', () => {
  test.each<[Partial<EndpointState>, string, string, number]>([
    [{}, 'ready', '', 0],
    [{ restUntil: 999 }, 'ready', 'the next call tries it', 0],
    [{ restUntil: 1_000 }, 'ready', 'the next call tries it', 0],
    [{ restUntil: 2_200 }, 'ejected', 'failed several calls in a row', 2],
    [{ restUntil: 2_200, restReason: 'rate_limited' }, 'cooling', 'answered 429 or 529', 2],
    [{ isHealthy: false }, 'unhealthy', 'failed its health checks', 0],
    [{ isHealthy: false, restUntil: 2_200 }, 'unhealthy', 'failed its health checks', 2],
  ])('with %j: %s', (more, state, reason, cooldownSeconds) => {
    const endpoint = Object.assign(new Scene().state('a'), more);
    expect(conditionOf(endpoint, 1_000)).toEqual({ state, reason, cooldownSeconds });
  });
});
