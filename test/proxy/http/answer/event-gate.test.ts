import { describe, expect, test } from 'vitest';
import { createEventGate, type GateVerdict } from '../../../../proxy/http/answer/event-gate.ts';
import { TRANSCRIPTS } from './transcripts.ts';

function feedAll(chunks: readonly (string | Buffer)[]): GateVerdict[] {
  const gate = createEventGate();
  return chunks.map((chunk) => gate.feed(Buffer.from(chunk)));
}

function verdictOf(text: string): GateVerdict | undefined {
  return feedAll([text]).at(-1);
}

describe('createEventGate', () => {
  test.each(TRANSCRIPTS)('$server: holds until the event that decides', ({ events, decides, verdict }) => {
    const seen = decides === -1 ? events : events.slice(0, decides + 1);
    const before = seen.slice(0, decides === -1 ? seen.length : -1);
    expect(feedAll(seen).slice(0, before.length)).toEqual(before.map(() => 'hold'));
    expect(feedAll(seen).at(-1)).toBe(verdict);
  });

  test.each(TRANSCRIPTS)('$server: says the same of the stream in one chunk', ({ events, verdict }) => {
    expect(verdictOf(events.join(''))).toBe(verdict);
  });

  test.each([
    ['LF', '\n'],
    ['CR', '\r'],
    ['CRLF', '\r\n'],
  ])('takes lines that end with %s, byte by byte too', (_name, end) => {
    const text = `event: ping\ndata: {}\n\ndata: {"choices":\ndata: []}\n\ndata: hi\n\n`.replaceAll('\n', end);
    expect(verdictOf(text)).toBe('release');
    const bytes = [...text];
    const verdicts = feedAll(bytes);
    const decided = verdicts.indexOf('release');
    // A CR ends a line by itself: nobody waits for the LF that may follow.
    expect(decided).toBe(bytes.length - (end === '\r\n' ? 2 : 1));
    expect(verdicts.slice(0, decided).every((verdict) => verdict === 'hold')).toBe(true);
  });

  test('joins the data lines of one event', () => {
    expect(verdictOf('data: {"error":\ndata: {"message":"no"}}\n\n')).toBe('error');
    expect(verdictOf('data: {"error":\n\n')).toBe('release');
  });

  test('reads past a byte order mark', () => {
    expect(verdictOf('\ufeffdata: {"error":{}}\n\n')).toBe('error');
    expect(feedAll([...Buffer.from('\ufeffdata: {"error":{}}\n\n')].map((byte) => Buffer.from([byte]))).at(-1)).toBe(
      'error',
    );
  });

  test('takes at most one space from a value, and none is needed', () => {
    expect(verdictOf('event:ping\ndata:x\n\n')).toBe('hold');
    expect(verdictOf('event:  ping\ndata:x\n\n')).toBe('release');
  });

  test.each([
    ['an event name without data', 'event: response.output_text.delta\n\n'],
    ['fields that carry nothing', 'id: 7\nretry: 3000\nfoo\n\n'],
    ['data without a character', 'data\n\ndata:\n\ndata: \n\n'],
    ['blank lines', '\n\n\r\n\r\r'],
    ['an event that has not ended', 'data: hello\n'],
    ['a ping by its data', 'data: {"type":"ping"}\n\n'],
  ])('holds %s', (_name, text) => {
    expect(verdictOf(text)).toBe('hold');
  });

  test.each([
    ['an error event without data', 'event: error\n\n', 'error'],
    ['an error by its type', 'data: {"type":"error","message":"no"}\n\n', 'error'],
    ['an error that is null', 'data: {"error":null,"choices":[{"delta":{"content":"x"}}]}\n\n', 'release'],
    ['JSON that is no object', 'data: [1]\n\n', 'release'],
    ['a choice that is no object', 'data: {"choices":["x"]}\n\n', 'release'],
    ['a finish_reason that is empty', 'data: {"choices":[{"delta":{},"finish_reason":""}]}\n\n', 'hold'],
    ['an audio delta', 'data: {"choices":[{"delta":{"role":"assistant","audio":{"id":"a"}}}]}\n\n', 'release'],
    ['an event nobody knows, with empty data', 'event: progress\ndata:\n\n', 'release'],
    ['the name of a method of Object', 'data: {"type":"toString","choices":[]}\n\n', 'hold'],
  ])('%s: %s is %s', (_name, text, verdict) => {
    expect(verdictOf(text)).toBe(verdict);
  });

  test('forgets the name and the data of an event with its end', () => {
    expect(verdictOf('event: ping\ndata: x\n\ndata: y\n\n')).toBe('release');
    expect(verdictOf('data: {"type":\n\n')).toBe('release');
    expect(verdictOf('event: ping\n\ndata: {"error":1}\n\n')).toBe('error');
  });

  test('lets a stream go that says nothing for 256 KiB', () => {
    const ping = ': ping\n\n'.repeat(128);
    const gate = createEventGate();
    for (let bytes = ping.length; bytes <= 256 * 1024; bytes += ping.length) {
      expect(gate.feed(Buffer.from(ping))).toBe('hold');
    }
    expect(gate.feed(Buffer.from(ping))).toBe('release');
  });

  test('finds an error in the chunk that goes over 256 KiB', () => {
    const [verdict] = feedAll([`${': ping\n\n'.repeat(40_000)}data: {"error":"late"}\n\n`]);
    expect(verdict).toBe('error');
  });
});
