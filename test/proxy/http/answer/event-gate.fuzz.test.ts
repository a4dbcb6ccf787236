import { expect, test } from 'vitest';
import { createEventGate, type GateVerdict } from '../../../../proxy/http/answer/event-gate.ts';
import { kindOfEvent } from '../../../../proxy/http/answer/event-kind.ts';
import { below, type Random, seeded } from '../json-fuzz.ts';
import { TRANSCRIPTS } from './transcripts.ts';

const SEED = 20260728;
const STREAMS = 12_000;

const EVENTS = [
  ...TRANSCRIPTS.flatMap(({ events, decides }) => (decides === -1 ? events : events.slice(0, decides))),
  ...TRANSCRIPTS.flatMap(({ events }) => events),
  'data: é😀\n\n',
  'data: {"choices":\ndata: []}\n\n',
  'data: {"choices":\n\n',
  ':\n:\n\n',
  'data\n\n',
];
const BYTES = Buffer.from('\n\r: {}"\ufeffé', 'utf8');

function stream(random: Random): Buffer {
  const count = 1 + below(random, 5);
  const events = Array.from({ length: count }, () => EVENTS[below(random, EVENTS.length)] as string);
  const end = ['\n', '\n', '\r', '\r\n'][below(random, 4)] as string;
  const bytes = Buffer.from(`${random() < 0.1 ? '\ufeff' : ''}${events.join('').replaceAll('\n', end)}`);
  if (random() < 0.3) bytes[below(random, bytes.length)] = BYTES[below(random, BYTES.length)] as number;
  return bytes.subarray(0, random() < 0.2 ? below(random, bytes.length + 1) : bytes.length);
}

function cut(random: Random, bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  const most = 1 + below(random, random() < 0.3 ? 3 : 200);
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + below(random, most);
    chunks.push(bytes.subarray(at, end));
    at = end;
  }
  return chunks;
}

function firstVerdict(chunks: readonly Buffer[]): { verdict: GateVerdict; bytes: number } {
  const gate = createEventGate();
  let bytes = 0;
  for (const chunk of chunks) {
    bytes += chunk.length;
    const verdict = gate.feed(chunk);
    if (verdict !== 'hold') return { verdict, bytes };
  }
  return { verdict: 'hold', bytes };
}

/** By the whole text at once, as the standard tells it. */
function readSlowly(bytes: Buffer): GateVerdict {
  const lines = bytes
    .toString()
    .replace(/^\ufeff/, '')
    .split(/\r\n|\r|\n/);
  let name = '';
  let data: string[] = [];
  for (const line of lines.slice(0, -1)) {
    const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'event') name = value;
    if (field === 'data') data.push(value);
    if (field === 'error') name = 'error';
    if (line !== '') continue;
    const kind = kindOfEvent(name, data.length === 0 ? undefined : data.join('\n'));
    if (kind !== 'nothing') return kind === 'content' ? 'release' : kind === 'done' ? 'no_content' : 'error';
    name = '';
    data = [];
  }
  return 'hold';
}

test(`${STREAMS} streams are judged the same however they are cut`, () => {
  const random = seeded(SEED);
  const seen = new Map<string, number>();
  for (let index = 0; index < STREAMS; index += 1) {
    const bytes = stream(random);
    const chunks = cut(random, bytes);
    const expected = readSlowly(bytes);
    const got = firstVerdict(chunks);
    const whole = firstVerdict([bytes]);
    if (got.verdict !== expected || whole.verdict !== expected) {
      const cuts = JSON.stringify(chunks.map((chunk) => chunk.toString('latin1')));
      expect.fail(
        `seed ${SEED}, stream ${index}: ${cuts}: ${got.verdict}, whole ${whole.verdict}, expected ${expected}`,
      );
    }
    seen.set(expected, (seen.get(expected) ?? 0) + 1);
  }
  for (const verdict of ['hold', 'release', 'error', 'no_content']) {
    expect(seen.get(verdict), verdict).toBeGreaterThan(STREAMS / 100);
  }
});
