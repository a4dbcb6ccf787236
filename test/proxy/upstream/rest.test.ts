import { describe, expect, test } from 'vitest';
import type { Cause } from '../../../proxy/upstream/outcome.ts';
import { keepOne, noteResult } from '../../../proxy/upstream/rest.ts';
import type { BackendPlan } from '../balance/pools.ts';
import { EJECTION, Scene, TWO } from './scene.ts';

describe('failures of an endpoint', () => {
  test('rest it once there were so many in a row, and no sooner', () => {
    const scene = new Scene();
    expect(scene.end('a', 'server_error', { times: 2 })).toBeUndefined();
    expect(scene.restMs('a')).toBe(0);
    expect(scene.end('a', 'refused')).toBe(1_000);
    expect(scene.restMs('a')).toBe(1_000);
    expect(scene.restMs('b')).toBe(0);
  });

  test.each<Cause>([
    'refused',
    'first_byte_timeout',
    'cut_in_answer',
    'stall',
    'not_json',
    'request_timeout',
    'no_content',
  ])('count whatever their kind: %s', (cause) => {
    expect(new Scene().end('a', cause, { times: 3 })).toBe(1_000);
  });

  test.each<Cause>(['ok', 'client_error', 'credential'])('are no longer in a row after %s', (cause) => {
    const scene = new Scene();
    scene.end('a', 'server_error', { times: 2 });
    scene.end('a', cause);
    expect(scene.end('a', 'server_error', { times: 2 })).toBeUndefined();
    expect(scene.end('a', 'server_error')).toBe(1_000);
  });

  test('are no longer in a row after a 429 that rests nothing', () => {
    const scene = new Scene([{ name: 'a' }], { kind: 'EmbeddingInstance' });
    scene.end('a', 'server_error', { times: 2 });
    scene.end('a', 'rate_limited');
    expect(scene.state('a').failures).toBe(0);
  });

  test.each<Cause>(['client_left', 'deadline', 'not_sent', 'upload_broken'])(
    'are neither made nor ended by %s',
    (cause) => {
      const scene = new Scene();
      scene.end('a', 'server_error', { times: 2 });
      expect(scene.end('a', cause, { times: 9 })).toBeUndefined();
      expect(scene.end('a', 'server_error')).toBe(1_000);
    },
  );

  test('rest nothing where so many are 0', () => {
    const scene = new Scene(TWO, { ejection: { ...EJECTION, consecutiveFailures: 0 } });
    expect(scene.end('a', 'server_error', { times: 50 })).toBeUndefined();
    expect(scene.end('a', 'rate_limited', { restMs: 100 })).toBe(100);
    scene.now += 100;
    expect(scene.end('a', 'server_error')).toBeUndefined();
    expect(scene.restMs('a')).toBe(0);
  });

  test('of calls sent before the rest began do not make it longer, nor end it', () => {
    const scene = new Scene();
    scene.end('a', 'server_error', { times: 3 });
    scene.now += 400;
    for (let n = 0; n < 9; n += 1) expect(scene.endLate('a', 'server_error')).toBeUndefined();
    expect(scene.endLate('a', 'ok')).toBeUndefined();
    expect(scene.restMs('a')).toBe(600);
    scene.now += 700;
    for (let n = 0; n < 9; n += 1) expect(scene.endLate('a', 'server_error')).toBeUndefined();
    scene.endLate('a', 'ok');
    expect(scene.state('a').restUntil).not.toBe(0);
    expect(scene.state('a').ejections).toBe(1);
  });
});

describe('the last endpoint of a pool', () => {
  test.each<[string, readonly BackendPlan[], ((scene: Scene) => void)?]>([
    ['is alone', [{ name: 'a' }]],
    ['is alone with drained ones', [{ name: 'a' }, { name: 'b', weight: 0 }]],
    ['has others that are unhealthy', TWO, (scene) => void Object.assign(scene.state('b'), { isHealthy: false })],
    ['has others that rest for failures', TWO, (scene) => void scene.end('b', 'refused', { times: 3 })],
    [
      'has others that cool down',
      [...TWO, { name: 'c', tier: 1 }],
      (scene) => ['b', 'c'].map((name) => scene.end(name, 'rate_limited')),
    ],
    [
      'has others that only have a probe left',
      TWO,
      (scene) => {
        scene.end('b', 'refused', { times: 3 });
        scene.now += 1_000;
      },
    ],
  ])('is not rested for failures where it %s', (_, plans, prepare) => {
    const scene = new Scene(plans);
    prepare?.(scene);
    expect(scene.end('a', 'server_error', { times: 20 })).toBeUndefined();
    expect(scene.restMs('a')).toBe(0);
  });

  test('is rested once another one serves, if it fails again', () => {
    const scene = new Scene();
    scene.state('b').isHealthy = false;
    scene.end('a', 'server_error', { times: 20 });
    scene.state('b').isHealthy = true;
    expect(scene.end('a', 'server_error')).toBe(1_000);
  });

  test('is one of several in another tier or of the same backend', () => {
    expect(new Scene([{ name: 'a' }, { name: 'b', tier: 3 }]).end('a', 'refused', { times: 3 })).toBe(1_000);
    expect(new Scene([{ name: 'a', endpoints: 2 }]).end('a', 'refused', { times: 3 })).toBe(1_000);
  });

  test('rests for a 429 in a pool, and not in an instance', () => {
    expect(new Scene([{ name: 'a' }]).end('a', 'rate_limited')).toBe(5_000);
    const instance = new Scene([{ name: 'a' }], { kind: 'EmbeddingInstance' });
    expect(instance.end('a', 'rate_limited', { restMs: 700 })).toBeUndefined();
    expect(instance.restMs('a')).toBe(0);
    const two = new Scene([{ name: 'a', endpoints: 2 }], { kind: 'EmbeddingInstance' });
    expect(two.end('a', 'rate_limited', { restMs: 700 })).toBe(700);
  });

  test('of an instance serves on where a probe is answered by 429', () => {
    const scene = new Scene(TWO, { kind: 'EmbeddingInstance' });
    scene.end('a', 'rate_limited', { restMs: 100 });
    scene.state('b').isHealthy = false;
    scene.now += 100;
    expect(scene.end('a', 'rate_limited')).toBeUndefined();
    expect(scene.state('a').restUntil).toBe(0);
  });

  test('serves on where its probe fails', () => {
    const scene = new Scene();
    scene.end('a', 'server_error', { times: 3 });
    scene.now += 1_000;
    scene.state('b').isHealthy = false;
    expect(scene.end('a', 'server_error')).toBeUndefined();
    expect(scene.restMs('a')).toBe(0);
  });

  test('is tried at once where it became the last while it rested', () => {
    const scene = new Scene([...TWO, { name: 'c' }]);
    scene.end('a', 'refused', { times: 3 });
    scene.now += 10;
    scene.end('b', 'refused', { times: 3 });
    scene.end('c', 'rate_limited');
    expect([scene.restMs('a'), scene.restMs('b'), scene.restMs('c')]).toEqual([0, 1_000, 5_000]);
    expect(scene.state('a').restUntil).toBe(scene.now);
    expect(scene.end('a', 'server_error')).toBeUndefined();
    expect(scene.state('a').restUntil).toBe(0);
  });

  test('is not looked for while one can be had, and never among those that are unhealthy or cool down', () => {
    const scene = new Scene();
    scene.end('a', 'refused', { times: 3 });
    keepOne(scene.pool, scene.now);
    expect(scene.restMs('a')).toBe(1_000);
    scene.state('b').isHealthy = false;
    scene.state('a').restReason = 'rate_limited';
    keepOne(scene.pool, scene.now);
    expect(scene.restMs('a')).toBe(1_000);
    scene.state('a').restReason = 'failures';
    scene.state('a').isHealthy = false;
    keepOne(scene.pool, scene.now);
    expect(scene.restMs('a')).toBe(1_000);
    scene.state('a').isHealthy = true;
    keepOne(scene.pool, scene.now);
    expect(scene.state('a').restUntil).toBe(scene.now);
  });
});

describe('the probe after a rest', () => {
  test('ends it where it goes well: the next rest is as short as the first', () => {
    const scene = new Scene();
    scene.end('a', 'server_error', { times: 3 });
    scene.now += 1_000;
    expect(scene.end('a', 'ok')).toBeUndefined();
    expect(scene.restMs('a')).toBe(0);
    expect(scene.end('a', 'server_error', { times: 2 })).toBeUndefined();
    expect(scene.end('a', 'server_error')).toBe(1_000);
  });

  test.each<Cause>(['client_error', 'credential'])('goes well where the endpoint answers: %s', (cause) => {
    const scene = new Scene();
    scene.end('a', 'server_error', { times: 3 });
    scene.now += 1_000;
    scene.end('a', cause);
    expect(scene.restMs('a')).toBe(0);
  });

  test('makes it rest again at once where it fails, twice as long each time, up to the longest', () => {
    const scene = new Scene();
    const rests = [scene.end('a', 'server_error', { times: 3 })];
    for (let n = 0; n < 40; n += 1) {
      scene.now = scene.state('a').restUntil;
      rests.push(scene.end('a', 'server_error'));
    }
    expect(rests.slice(0, 5)).toEqual([1_000, 2_000, 4_000, 5_000, 5_000]);
    expect(rests.at(-1)).toBe(5_000);
  });

  test('changes nothing where it is cancelled: the next call is the probe', () => {
    const scene = new Scene();
    scene.end('a', 'server_error', { times: 3 });
    scene.now += 1_500;
    const { restUntil } = scene.state('a');
    scene.end('a', 'client_left');
    expect(scene.state('a').restUntil).toBe(restUntil);
    expect(scene.end('a', 'server_error')).toBe(2_000);
  });

  test('after a 429 that fails makes it rest for failures', () => {
    const scene = new Scene();
    scene.end('a', 'rate_limited', { restMs: 100 });
    scene.now += 100;
    expect(scene.end('a', 'server_error')).toBe(1_000);
    expect(scene.state('a').restReason).toBe('failures');
  });

  test('says nothing once a new rest has begun', () => {
    const scene = new Scene();
    scene.end('a', 'server_error', { times: 3 });
    scene.now += 1_000;
    scene.endLate('a', 'rate_limited', 3_000);
    for (const cause of ['server_error', 'ok'] as const) {
      noteResult(scene.pool, scene.state('a'), { cause, restMs: undefined, wasProbe: true, now: scene.now });
    }
    expect(scene.restMs('a')).toBe(3_000);
    expect(scene.state('a').restReason).toBe('rate_limited');
  });
});

describe('a 429', () => {
  test.each([
    { restMs: undefined, maxCooldownMs: 60_000, rests: 6_000 },
    { restMs: 2_500, maxCooldownMs: 60_000, rests: 2_500 },
    { restMs: 20_000, maxCooldownMs: 5_000, rests: 5_000 },
    { restMs: undefined, maxCooldownMs: 5_000, rests: 5_000 },
    { restMs: Number.POSITIVE_INFINITY, maxCooldownMs: 5_000, rests: 5_000 },
    { restMs: 0, maxCooldownMs: 5_000, rests: 0 },
  ])('that asks for $restMs ms rests its endpoint at once for $rests ms of at most $maxCooldownMs', (row) => {
    const scene = new Scene(TWO, { ejection: { ...EJECTION, maxCooldownMs: row.maxCooldownMs } });
    expect(scene.end('a', 'rate_limited', row.restMs === undefined ? {} : { restMs: row.restMs })).toBe(row.rests);
    expect(scene.state('a').restUntil).toBe(scene.now + row.rests);
    expect(scene.state('a').restReason).toBe('rate_limited');
  });

  test('makes a rest longer only where it says so itself', () => {
    const scene = new Scene();
    scene.end('a', 'rate_limited', { restMs: 2_000 });
    scene.now += 500;
    expect(scene.endLate('a', 'rate_limited')).toBeUndefined();
    expect(scene.endLate('a', 'rate_limited', 1_000)).toBeUndefined();
    expect(scene.restMs('a')).toBe(1_500);
    expect(scene.endLate('a', 'rate_limited', 3_000)).toBe(3_000);
    expect(scene.restMs('a')).toBe(3_000);
  });

  test('is not doubled', () => {
    const scene = new Scene();
    for (let n = 0; n < 5; n += 1) {
      expect(scene.end('a', 'rate_limited', { restMs: 700 })).toBe(700);
      scene.now += 700;
    }
  });
});
