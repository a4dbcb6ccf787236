import { expect, test } from 'vitest';
import type { Condition } from '../../crds/status.ts';
import { type ProgrammedInput, programmedVerdict } from '../../operator/programmed.ts';
import type { ConfigReport } from '../../proxy/config/schema.ts';

const OLD = '0'.repeat(64);
const NEW = `9f2c${'1'.repeat(60)}`;

const report = (revision: string, state: ConfigReport['state'] = 'loaded', message = ''): ConfigReport => ({
  ...{ kind: 'LLMPool', namespace: 'ml', name: 'chat', revision, state, message },
});
const words = (...reports: (ConfigReport | undefined)[]) =>
  reports.map((one, index) => ({ address: `http://10.0.0.${index + 1}:9000`, report: one }));
const standing = (status: 'True' | 'False', reason: string): Condition => ({
  ...{
    type: 'Programmed',
    status,
    reason,
    message: '',
    observedGeneration: 1,
    lastTransitionTime: '2026-01-01T00:00:00Z',
  },
});
const input = (over: Partial<ProgrammedInput> = {}): ProgrammedInput => ({
  ...{ accepted: true, revision: NEW, proxyService: 'sluice-proxy-admin', words: [], settled: true },
  ...{ previous: undefined, previousRevision: undefined },
  ...over,
});
const programmed = { previous: standing('True', 'Programmed'), previousRevision: NEW };

test.each<[string, Partial<ProgrammedInput>, string, string]>([
  ['all proxies serve it', { words: words(report(NEW), report(NEW)) }, 'True', 'Programmed'],
  ['one of them is behind', { words: words(report(NEW), report(OLD)) }, 'False', 'Pending'],
  ['one of them has said nothing', { words: words(report(NEW), undefined) }, 'False', 'Pending'],
  ['there is no ready proxy', {}, 'False', 'NoProxy'],
  ['there is none by design', { proxyService: '' }, 'True', 'Published'],
  ['a proxy refuses it', { words: words(report(NEW), report(NEW, 'rejected')) }, 'False', 'Rejected'],
  ['a proxy refused the one before', { words: words(report(OLD, 'rejected')) }, 'False', 'Pending'],
  ['the CR is refused', { accepted: false, words: words(report(NEW)) }, 'False', 'Pending'],
  [
    'it was programmed and a proxy joins',
    { ...programmed, words: words(report(NEW), undefined) },
    'True',
    'Programmed',
  ],
  ['it was programmed and a proxy starts anew', { ...programmed, words: words(undefined) }, 'True', 'Programmed'],
  ['it was programmed and the last proxy leaves', programmed, 'False', 'NoProxy'],
  [
    'it was programmed and a proxy refuses it',
    { ...programmed, words: words(report(NEW, 'rejected')) },
    'False',
    'Rejected',
  ],
  [
    'it was programmed at another revision',
    { ...programmed, previousRevision: OLD, words: words(undefined) },
    'False',
    'Pending',
  ],
  ['the operator has just started and it never was', { settled: false, words: words(undefined) }, 'False', 'Pending'],
])('Programmed where %s', (_, over, status, reason) => {
  expect(programmedVerdict(input(over))).toMatchObject({ type: 'Programmed', status, reason });
});

test.each([standing('True', 'Programmed'), standing('False', 'Rejected'), standing('False', 'NoProxy')])(
  'just after its start the operator changes no Programmed (%o)',
  (previous) => {
    expect(programmedVerdict(input({ settled: false, previous, previousRevision: OLD }))).toBeUndefined();
  },
);

test('Pending counts the proxies that serve it', () => {
  const verdict = programmedVerdict(input({ words: words(report(NEW), report(NEW), report(OLD)) }));
  expect(verdict?.message).toBe('2 of 3 proxies');
});

test('Rejected has the words of the proxy', () => {
  const verdict = programmedVerdict(input({ words: words(report(NEW, 'rejected', 'backends.0.url: no host')) }));
  expect(verdict?.message).toContain('backends.0.url: no host');
});

test('a refused CR says which revision is still served', () => {
  expect(programmedVerdict(input({ accepted: false }))?.message).toBe(
    'not accepted; revision 9f2c1111… is still served',
  );
  expect(programmedVerdict(input({ accepted: false, revision: undefined }))?.message).toContain('nothing is published');
});

test('the message of a programmed CR does not tell how many proxies there are', () => {
  const [one, two] = [words(report(NEW)), words(report(NEW), report(NEW))];
  expect(programmedVerdict(input({ words: one }))).toEqual(programmedVerdict(input({ words: two })));
});
