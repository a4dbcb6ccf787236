import { CODES, status } from '../grpc/codes.ts';
import { frameOf } from '../grpc/frames.ts';
import { answered } from '../grpc/upstream-end.ts';
import { cursorOf, eachField, numberAt, textAt } from './read-message.ts';
import { type TeiCall, wholeWriter } from './tei-call.ts';

/** To Info, in the words of TEI's REST, as far as its gRPC knows them. */
export function infoCall(): TeiCall {
  return { ...EMPTY, method: '/tei.v1.Info/Info', writer: wholeWriter(infoJson) };
}

/**
 * To grpc.health.v1. A server without that service is well: it answers; only one that says it does not serve is not.
 */
export function healthCall(): TeiCall {
  let isServing = true;
  const writer = wholeWriter((message) => {
    isServing = isServingIn(message);
    return '';
  });
  return {
    ...EMPTY,
    ...{ method: '/grpc.health.v1.Health/Check', writer },
    judge: (end) => {
      if (end.isAnswer && end.code === CODES.UNIMPLEMENTED) return answered(status('OK', ''), end.trailers);
      return end.code === CODES.OK && !isServing ? answered(UNHEALTHY, end.trailers) : end;
    },
  };
}

const EMPTY = { messages: 1, isOneToOne: true, frame: () => frameOf(), errors: 'tei' } as const;
const UNHEALTHY = status('UNAVAILABLE', 'unhealthy');
const SERVING = 1;

/** By field number; what is optional is null where it is absent. */
const INFO_FIELDS: readonly (readonly [number, string, 'text' | 'number' | 'model type', string | number | null])[] = [
  [4, 'model_id', 'text', ''],
  [5, 'model_sha', 'text', null],
  [6, 'model_dtype', 'text', ''],
  [7, 'model_type', 'model type', 0],
  [8, 'max_concurrent_requests', 'number', 0],
  [9, 'max_input_length', 'number', 0],
  [10, 'max_batch_tokens', 'number', 0],
  [11, 'max_batch_requests', 'number', null],
  [12, 'max_client_batch_size', 'number', 0],
  [13, 'tokenization_workers', 'number', 0],
  [1, 'version', 'text', ''],
  [2, 'sha', 'text', null],
  [3, 'docker_label', 'text', null],
];

const MODEL_TYPES = ['embedding', 'classifier', 'reranker'];

function infoJson(message: Buffer): string {
  const cursor = cursorOf(message);
  const read = new Map<number, string | number>();
  eachField(cursor, (field) => {
    const kind = INFO_FIELDS.find(([number]) => number === field)?.[2];
    if (kind !== undefined) read.set(field, kind === 'text' ? textAt(cursor) : numberAt(cursor));
    return kind !== undefined;
  });
  const info = INFO_FIELDS.map(([field, name, kind, absent]) => {
    const value = read.get(field) ?? absent;
    return [name, kind === 'model type' ? { [MODEL_TYPES[Number(value)] ?? 'unknown']: {} } : value];
  });
  return JSON.stringify(Object.fromEntries(info));
}

function isServingIn(message: Buffer): boolean {
  const cursor = cursorOf(message);
  let found = 0;
  eachField(cursor, (field) => {
    if (field !== 1) return false;
    found = numberAt(cursor);
    return true;
  });
  return found === SERVING;
}
