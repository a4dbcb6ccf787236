import { afterEach, describe, expect, test } from 'vitest';
import { openClient } from '../../kube/client.ts';
import { type Election, elect, type LeaseTimings } from '../../kube/lease.ts';
import type { Lease } from '../../kube/lease-record.ts';
import { eventually } from '../support/eventually.ts';
import { clientBench } from './client-bench.ts';
import { recordLog } from './recorded-log.ts';

const bench = clientBench();
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
/** A lease counts whole seconds, so these are as short as they get; the relations are the real ones. */
const SHORT: LeaseTimings = { leaseMs: 2_000, renewDeadlineMs: 1_200, renewMs: 200, lookMs: 100, callMs: 400 };
const running: Election[] = [];
let made = 0;

afterEach(async () => {
  bench.proxy.resume();
  await Promise.all(running.splice(0).map((election) => election.stop()));
});

interface Candidate extends Election {
  readonly identity: string;
  readonly events: { readonly what: 'leading' | 'lost'; readonly at: number }[];
}

function stand(
  name: string,
  options: { client?: typeof bench.client; timings?: Partial<LeaseTimings> } = {},
): Candidate {
  const identity = `candidate-${made++}`;
  const events: Candidate['events'] = [];
  const tell = (what: 'leading' | 'lost') => () => void events.push({ what, at: performance.now() });
  const { client = bench.client, timings = SHORT } = options;
  const place = { client, namespace: 'default', name, identity };
  const election = elect({ ...place, onLeading: tell('leading'), onLost: tell('lost'), log: recordLog(), timings });
  running.push(election);
  return { ...election, identity, events };
}

function read(name: string): Promise<Lease> {
  return bench.api.read<Lease>(`${LEASES}/${name}`);
}

function leads(candidate: Candidate, timeoutMs = 5_000): Promise<unknown> {
  return eventually(`${candidate.identity} leads`, () => candidate.leading(), { timeoutMs });
}

describe('an election', () => {
  test('has one leader of three candidates, and the lease says which', async () => {
    const candidates = [stand('one'), stand('one'), stand('one')];
    await eventually('one leads', () => candidates.some((candidate) => candidate.leading()));
    const first = (await read('one')).spec;
    await eventually('it renews', async () => (await read('one')).spec.renewTime !== first.renewTime);

    const leaders = candidates.filter((candidate) => candidate.leading());
    expect(leaders.map(({ identity }) => identity)).toEqual([first.holderIdentity]);
    expect(first).toMatchObject({ leaseDurationSeconds: 2, leaseTransitions: 0 });
    expect(first.renewTime).toMatch(/\.\d{6}Z$/);
    expect((await read('one')).spec.acquireTime).toBe(first.acquireTime);
  });

  test('has a new leader within 2 s of a stopped one, with the real times', async () => {
    const leader = stand('stopped', { timings: {} });
    await leads(leader);
    const standby = stand('stopped', { timings: {} });
    const stoppedAt = performance.now();
    await leader.stop();
    expect(leader.leading()).toBe(false);
    await leads(standby);
    expect(performance.now() - stoppedAt).toBeLessThan(2_000);
    expect(leader.events.map(({ what }) => what)).toEqual(['leading']);
    expect((await read('stopped')).spec.leaseTransitions).toBeGreaterThan(0);
  });

  test('has a new leader once the lease of a killed one has not changed for its time, and not before', async () => {
    // A killed leader is a record that nobody renews; its clock is an hour fast, which must not matter.
    const renewTime = new Date(Date.now() + 3_600_000).toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: 'killed', leaseDurationSeconds: 2, renewTime, leaseTransitions: 4 };
    await bench.api.call('POST', LEASES, { metadata: { name: 'killed' }, spec });
    const killedAt = performance.now();
    const standby = stand('killed');
    await leads(standby);
    const waitedMs = performance.now() - killedAt;
    expect(waitedMs).toBeGreaterThan(1_950);
    expect(waitedMs).toBeLessThan(3_000);
    expect((await read('killed')).spec).toMatchObject({ holderIdentity: standby.identity, leaseTransitions: 5 });
  });

  test('waits for the time that the holder asked for, 15 s by default, and looks each second', async () => {
    const leader = stand('times', { timings: {} });
    await leads(leader);
    expect((await read('times')).spec.leaseDurationSeconds).toBe(15);
    const from = bench.proxy.seen.length;
    stand('times', { timings: {} });
    const looks = () => bench.proxy.seen.slice(from).filter(({ line }) => line === `GET ${LEASES}/times`);
    await eventually('three looks', () => looks().length >= 3);
    const [first, second] = looks().map(({ at }) => at);
    // 15 s + 1.2 s before the record was first seen + 1.2 s until the next look stay below 20 s.
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(990);
    expect((second ?? 0) - (first ?? 0)).toBeLessThan(1_500);
  });

  test('is lost before anyone else can win it when the API server is not heard', async () => {
    const client = await openClient({ kubeconfig: bench.kubeconfig, env: {} });
    const leader = stand('stalled', { client });
    await leads(leader);
    const direct = await openClient({ kubeconfig: bench.api.kubeconfig, env: {} });
    const standby = stand('stalled', { client: direct });

    bench.proxy.stall('all');
    await leads(standby);

    expect(leader.events.map(({ what }) => what)).toEqual(['leading', 'lost']);
    expect(leader.events[1]?.at).toBeLessThan(standby.events[0]?.at ?? 0);
    expect(leader.leading()).toBe(false);
    await Promise.all([leader.stop(), standby.stop()]);
    await Promise.all([client.close(), direct.close()]);
  });

  test('is lost when another one has taken the lease', async () => {
    const leader = stand('taken');
    await leads(leader);
    const change = { spec: { holderIdentity: 'usurper', leaseDurationSeconds: 60 } };
    await bench.api.call('PATCH', `${LEASES}/taken`, change, 'application/merge-patch+json');
    await eventually('it is lost', () => leader.events.some(({ what }) => what === 'lost'));
    await leader.stop();
    expect((await read('taken')).spec.holderIdentity).toBe('usurper');
  });

  test.each([
    ['answered 500', { answer: { status: 500 } }],
    ['answered 429', { answer: { status: 429, headers: { 'retry-after': '1' } } }],
    ['written, but its answer lost', { cutAfterBytes: 1 }],
    ['late', { times: 1, delayMs: 500 }],
  ])('is kept through renewals that are %s', async (_what, fault) => {
    const name = `faulty-${made}`;
    const leader = stand(name);
    await leads(leader);
    const from = bench.proxy.seen.length;
    bench.proxy.fault({ match: new RegExp(`PUT ${LEASES}/${name}`), times: 2, ...fault });
    const renewals = () => bench.proxy.seen.slice(from).filter(({ line }) => line === `PUT ${LEASES}/${name}`);
    await eventually('five renewals', () => renewals().length >= 5);
    expect(leader.events.map(({ what }) => what)).toEqual(['leading']);
  });

  test.each([
    ['a lost answer', { cutAfterBytes: 1 }],
    ['a fault of the API server', { answer: { status: 500 } }],
    ['a page of HTML', { answer: { status: 200, body: '<html>' } }],
  ])('is won after %s to its first write', async (_what, fault) => {
    const name = `first-${made}`;
    bench.proxy.fault({ match: new RegExp(`POST ${LEASES}`), ...fault });
    const leader = stand(name);
    await leads(leader);
    expect((await read(name)).spec.holderIdentity).toBe(leader.identity);
  });

  test('leaves the lease alone when a candidate is stopped that does not lead', async () => {
    const leader = stand('standby');
    await leads(leader);
    const standby = stand('standby');
    await standby.stop();
    expect((await read('standby')).spec.holderIdentity).toBe(leader.identity);
    expect(standby.events).toEqual([]);
  });
});
