import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../../../kube/object.ts';
import { podFacts, secretFacts, serviceFacts, sliceFacts } from '../../../operator/translate/facts.ts';
import { randomFrom } from './random.ts';

const metadata = { name: 'a', namespace: 'ml' };

describe('a Service', () => {
  test('of an old API server has one clusterIP', () => {
    const facts = serviceFacts({ metadata, spec: { clusterIP: '10.0.0.1', ports: [{ port: 80 }] } });
    expect(facts).toMatchObject({ type: 'ClusterIP', clusterIPs: ['10.0.0.1'], ports: [{ name: '', port: 80 }] });
  });

  test('that is headless has none, and one of names none either', () => {
    expect(serviceFacts({ metadata, spec: { clusterIP: 'None', clusterIPs: ['None'] } })?.clusterIPs).toEqual([]);
    expect(serviceFacts({ metadata, spec: { type: 'ExternalName' } })).toMatchObject({ clusterIPs: [], ports: [] });
  });

  test('has TCP ports only', () => {
    const ports = [{ port: 1, protocol: 'UDP' }, { port: 2, protocol: 'TCP' }, { port: 3 }, { port: 0 }, { port: 'x' }];
    expect(serviceFacts({ metadata, spec: { ports } })?.ports.map(({ port }) => port)).toEqual([2, 3]);
  });
});

describe('a slice', () => {
  const labels = { 'kubernetes.io/service-name': 'vllm' };

  test('that belongs to no Service is of no interest', () => {
    expect(sliceFacts({ metadata, ports: [], endpoints: [] })).toBeUndefined();
  });

  test('with null where the API allows it reads as the API means it', () => {
    const endpoints = [{ addresses: ['10.1.0.1'], conditions: { ready: null, serving: null, terminating: null } }];
    const facts = sliceFacts({ metadata: { ...metadata, labels }, ports: [{ port: null }, { port: 1 }], endpoints });
    expect(facts?.ports).toEqual([{ name: '', port: 1 }]);
    expect(facts?.endpoints).toEqual([{ addresses: ['10.1.0.1'], ready: true, serving: true, terminating: false }]);
  });

  test('has no endpoint for what is no address', () => {
    const spelt = ['localhost', '0177.0.0.1', '2852039166', '10.1.0.1', '1.2.3', ''];
    const endpoints = spelt.map((address) => ({ addresses: [address] }));
    const facts = sliceFacts({ metadata: { ...metadata, labels }, ports: [{ port: 1 }], endpoints });
    expect(facts?.endpoints.map(({ addresses }) => addresses)).toEqual([['10.1.0.1']]);
  });
});

describe('a Pod', () => {
  const READY = [{ type: 'Ready', status: 'True' }];

  test.each([
    ['Running', READY, undefined, { ready: true, gone: false }],
    ['Running', [{ type: 'Ready', status: 'False' }], undefined, { ready: false, gone: false }],
    ['Pending', undefined, undefined, { ready: false, gone: false }],
    ['Running', READY, '2026-01-01T00:00:00Z', { ready: false, gone: true }],
    ['Succeeded', READY, undefined, { gone: true }],
    ['Failed', READY, undefined, { gone: true }],
  ])('that is %s with conditions %j, deleted at %s, is %j', (phase, conditions, deletionTimestamp, expected) => {
    const facts = podFacts({
      metadata: { ...metadata, ...(deletionTimestamp && { deletionTimestamp }) },
      status: { phase, conditions, podIP: '10.1.0.1' },
    });
    expect(facts).toMatchObject(expected);
  });

  test.each([
    [{ conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' }] }, 'Unschedulable'],
    [{ containerStatuses: [{ state: { waiting: { reason: 'CrashLoopBackOff' } } }] }, 'CrashLoopBackOff'],
    [{ containerStatuses: [{ state: { waiting: { reason: 'ErrImagePull' } } }] }, 'ImagePullBackOff'],
    [{ initContainerStatuses: [{ state: { waiting: { reason: 'ImagePullBackOff' } } }] }, 'ImagePullBackOff'],
    [{ containerStatuses: [{ state: { waiting: { reason: 'ContainerCreating' } } }] }, ''],
    [{ containerStatuses: [{ state: { waiting: { reason: 'not a word\n' } } }] }, ''],
    [{ containerStatuses: [{ state: { running: {} } }] }, ''],
  ])('with status %j says why it is not ready: %j', (status, reason) => {
    expect(podFacts({ metadata, status })?.reason).toBe(reason);
  });
});

test('whatever the API server sends, nothing throws and the shape holds', () => {
  const random = randomFrom(7);
  const labels = { 'kubernetes.io/service-name': 'vllm' };
  for (let round = 0; round < 3_000; round += 1) {
    const fields = ['spec', 'status', 'ports', 'endpoints', 'data'];
    const object = Object.fromEntries(fields.map((field) => [field, garbage(random, 4)]));
    const odd = { ...object, metadata: random() < 0.2 ? garbage(random, 2) : { ...metadata, labels } } as KubeObject;
    for (const { port } of serviceFacts(odd)?.ports ?? []) expect(port).toBeTypeOf('number');
    for (const { addresses } of sliceFacts(odd)?.endpoints ?? []) expect(addresses.length).toBeGreaterThan(0);
    expect(podFacts(odd)?.ip ?? '').toBeTypeOf('string');
    for (const value of Object.values(secretFacts(odd)?.data ?? {})) expect(value).toBeTypeOf('string');
  }
});

const WORDS = 'spec status ports port name endpoints addresses conditions type Ready state waiting reason'.split(' ');

function garbage(random: () => number, depth: number): unknown {
  const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
  const some = (): unknown[] => Array.from({ length: Math.floor(random() * 4) }, () => garbage(random, depth - 1));
  const scalars = [null, true, 0, -1, 8000, 1e99, '', 'True', '10.1.0.1', '__proto__'];
  if (depth === 0 || random() < 0.3) return one(scalars);
  if (random() < 0.4) return some();
  return Object.fromEntries(some().map((value) => [one(WORDS), value]));
}
