import { fileURLToPath } from 'node:url';
import { load } from '@grpc/proto-loader';
import { describe, expect, test } from 'vitest';
import { CODES, isStatus } from '../../../proxy/grpc/codes.ts';
import { openEnvelope, readEnvelope } from '../../../proxy/grpc/envelope.ts';
import { frameOf, PREFIX_BYTES } from '../../../proxy/grpc/frames.ts';

const definition = await load(['tei_multiplexer/v1/multiplexer.proto'], {
  includeDirs: [fileURLToPath(new URL('../../../proto/', import.meta.url))],
  keepCase: true,
});
const embed = (
  definition['tei_multiplexer.v1.TeiMultiplexer'] as unknown as Record<
    string,
    { requestSerialize: (message: object) => Buffer }
  >
)['Embed'];
const encode = (message: object): Buffer => (embed as NonNullable<typeof embed>).requestSerialize(message);

const field = (number: number, payload: Buffer | string): Buffer => {
  const bytes = Buffer.from(payload);
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
};
const varintField = (number: number, ...bytes: number[]): Buffer => Buffer.from([number << 3, ...bytes]);
const envelope = (...parts: Buffer[]): Buffer => Buffer.concat(parts);
const name = (text: string): Buffer => field(1, field(1, text));
const inner = Buffer.from('\n\x05hello');

function open(message: Buffer, requestName: string | undefined = 'embed') {
  return openEnvelope(frameOf(message), requestName);
}

describe('openEnvelope', () => {
  test('what proto-loader writes is taken apart: target, and the inner request as a frame', () => {
    const opened = open(encode({ target: { instance_name: 'bge' }, request: { inputs: 'hello', truncate: true } }));
    expect(opened).toEqual({
      target: { by: 'name', name: 'bge' },
      frame: frameOf(Buffer.from('\n\x05hello\x10\x01')),
    });
  });

  test.each([
    ['name', field(1, 'a'), { by: 'name', name: 'a' }],
    ['model as field 2', field(2, 'm'), { by: 'model', model: 'm' }],
    ['model as field 3', field(3, 'm'), { by: 'model', model: 'm' }],
    ['index as field 2', varintField(2, 7), { by: 'index', index: 7 }],
    ['index as field 3', varintField(3, 7), { by: 'index', index: 7 }],
    ['index of several bytes', varintField(3, 0xac, 0x02), { by: 'index', index: 300 }],
    ['index 0, written out', varintField(3, 0), { by: 'index', index: 0 }],
    ['the same name twice', envelope(field(1, 'a'), field(1, 'a')), { by: 'name', name: 'a' }],
    ['unknown fields beside it', envelope(field(9, 'x'), field(1, 'a'), varintField(8, 1)), { by: 'name', name: 'a' }],
  ])('a target by %s is read', (_, target, expected) => {
    expect(open(envelope(field(1, target), field(2, inner)))).toMatchObject({ target: expected });
  });

  test.each([
    ['the request before the target', envelope(field(2, inner), name('a'))],
    [
      'unknown fields of each wire type',
      envelope(
        varintField(7, 0xff, 0x01),
        Buffer.from([(8 << 3) | 1, 1, 2, 3, 4, 5, 6, 7, 8]),
        Buffer.from([(9 << 3) | 5, 1, 2, 3, 4]),
        Buffer.from([(10 << 3) | 3, (1 << 3) | 0, 5, (10 << 3) | 4]),
        name('a'),
        field(11, 'later'),
        field(2, inner),
      ),
    ],
    ['the request in two pieces', envelope(field(2, inner.subarray(0, 3)), name('a'), field(2, inner.subarray(3)))],
  ])('%s makes no difference', (_, message) => {
    expect(open(message)).toEqual({ target: { by: 'name', name: 'a' }, frame: frameOf(inner) });
  });

  test('nothing of a request is copied: its prefix is written into the envelope', () => {
    const frame = frameOf(envelope(name('a'), field(2, inner)));
    const opened = openEnvelope(frame, 'embed');
    if (isStatus(opened)) throw new Error(opened.message);
    expect(opened.frame.buffer).toBe(frame.buffer);
    expect(opened.frame.byteOffset + opened.frame.length).toBe(frame.byteOffset + frame.length);
  });

  test('an empty inner request is one, and Info needs none', () => {
    expect(open(envelope(name('a'), field(2, '')))).toMatchObject({ frame: frameOf() });
    expect(openEnvelope(frameOf(name('a')), undefined)).toEqual({
      target: { by: 'name', name: 'a' },
      frame: frameOf(),
    });
  });

  test.each([
    ['no target', field(2, inner), 'Missing target'],
    ['an empty target', envelope(field(1, ''), field(2, inner)), 'No routing specified'],
    ['an empty name', envelope(name(''), field(2, inner)), 'Instance name cannot be empty'],
    ['an empty model', envelope(field(1, field(2, '')), field(2, inner)), 'Model id cannot be empty'],
    ['no request', name('a'), 'Missing embed request'],
    ['neither', Buffer.alloc(0), 'Missing target'],
    [
      'all fields of a target',
      envelope(field(1, envelope(field(1, 'a'), field(2, 'm'), varintField(3, 1))), field(2, inner)),
      'several',
    ],
    ['two names', envelope(field(1, envelope(field(1, 'a'), field(1, 'b'))), field(2, inner)), 'several'],
    ['two targets', envelope(name('a'), name('b'), field(2, inner)), 'several'],
    ['a target as a number', envelope(varintField(1, 1), field(2, inner)), 'decoded'],
    ['a request as a number', envelope(name('a'), varintField(2, 1)), 'decoded'],
    ['a name that is no UTF-8', envelope(field(1, field(1, Buffer.from([0xff]))), field(2, inner)), 'decoded'],
    ['field 0', Buffer.from([0x02, 0]), 'decoded'],
    ['a length beyond the end', Buffer.from([0x0a, 0x7f, 1]), 'decoded'],
    ['a varint without an end', Buffer.alloc(12, 0xff), 'decoded'],
    ['a group without an end', Buffer.from([(9 << 3) | 3, 0x48]), 'decoded'],
    ['a group with another end', Buffer.from([(9 << 3) | 3, (8 << 3) | 4]), 'decoded'],
    ['groups in groups without end', Buffer.alloc(100_000, (9 << 3) | 3), 'decoded'],
    ['a request in thousands of pieces', Buffer.concat([name('a'), ...Array(5_000).fill(field(2, 'x'))]), 'decoded'],
  ])('%s is INVALID_ARGUMENT', (_, message, text) => {
    const refused = open(message);
    expect(refused).toMatchObject({ code: CODES.INVALID_ARGUMENT, message: expect.stringContaining(text) });
  });

  test('a compressed request is UNIMPLEMENTED and says what to set', () => {
    const frame = frameOf(envelope(name('a'), field(2, inner)));
    frame[0] = 1;
    expect(openEnvelope(frame, 'embed')).toMatchObject({
      code: CODES.UNIMPLEMENTED,
      message: expect.stringContaining('grpc-encoding'),
    });
  });

  test('random bytes, and good ones cut or changed anywhere, never throw', () => {
    const good = encode({ target: { instance_name: 'bge' }, request: { inputs: 'hello'.repeat(30) } });
    for (let cut = 0; cut < good.length; cut += 1) readEnvelope(good.subarray(0, cut));
    let seed = 7;
    const random = (): number => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed >>> 8;
    };
    for (let round = 0; round < 20_000; round += 1) {
      const changed = frameOf(good);
      for (let times = 0; times < 3; times += 1) changed[PREFIX_BYTES + (random() % good.length)] = random() & 0xff;
      const opened = openEnvelope(changed, 'embed');
      if (!isStatus(opened)) expect(opened.frame.readUInt32BE(1)).toBe(opened.frame.length - PREFIX_BYTES);
    }
  });
});
