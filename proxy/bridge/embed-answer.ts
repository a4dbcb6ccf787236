import type { Cursor } from '../grpc/protobuf.ts';
import { cursorOf, eachField, floatAt, floatsJson, messageAt, NO_FLOATS, numberAt, packedAt } from './read-message.ts';
import type { Writer } from './tei-call.ts';

/** An EmbedResponse: its floats as they stand in it, and what it cost. */
export function readEmbedding(message: Buffer): { readonly floats: Buffer; readonly tokens: number } {
  const cursor = cursorOf(message);
  let floats = NO_FLOATS;
  let tokens = 0;
  eachField(cursor, (field, wire) => {
    if (field === 1) floats = packedAt(cursor, wire, floats);
    else if (field === 2) tokens = computeTokensAt(cursor);
    else return false;
    return true;
  });
  return { floats, tokens };
}

/** Of the Metadata at the cursor. */
export function computeTokensAt(cursor: Cursor): number {
  const metadata = messageAt(cursor);
  let tokens = 0;
  eachField(metadata, (field) => {
    if (field !== 2) return false;
    tokens = numberAt(metadata);
    return true;
  });
  return tokens;
}

/** OpenAI's list of embeddings, with the sum of what they cost. `isBase64`: 32-bit floats, little-endian. */
export function openAiWriter(model: string, isBase64: boolean): Writer {
  let count = 0;
  let tokens = 0;
  return {
    add: (message) => {
      const read = readEmbedding(message);
      const embedding = isBase64 ? `"${read.floats.toString('base64')}"` : floatsJson(read.floats);
      const before = count === 0 ? '{"object":"list","data":[' : ',';
      const item = `${before}{"object":"embedding","index":${count},"embedding":${embedding}}`;
      count += 1;
      tokens += read.tokens;
      return item;
    },
    end: () => `],"model":${JSON.stringify(model)},"usage":{"prompt_tokens":${tokens},"total_tokens":${tokens}}}`,
  };
}

/** An EmbedSparseResponse as TEI's REST shows it. */
export function sparseJson(message: Buffer): string {
  const cursor = cursorOf(message);
  const values: object[] = [];
  eachField(cursor, (field) => {
    if (field !== 1) return false;
    values.push(sparseValueAt(cursor));
    return true;
  });
  return JSON.stringify(values);
}

function sparseValueAt(all: Cursor): object {
  const cursor = messageAt(all);
  const read = { index: 0, value: 0 };
  eachField(cursor, (field) => {
    if (field === 1) read.index = numberAt(cursor);
    else if (field === 2) read.value = floatAt(cursor);
    else return false;
    return true;
  });
  return read;
}

/** An EmbedAllResponse: a list of floats for each token. */
export function tokenEmbeddingsJson(message: Buffer): string {
  const cursor = cursorOf(message);
  const lists: string[] = [];
  eachField(cursor, (field) => {
    if (field !== 1) return false;
    lists.push(floatsJson(tokenFloatsAt(cursor)));
    return true;
  });
  return `[${lists.join(',')}]`;
}

function tokenFloatsAt(all: Cursor): Buffer {
  const cursor = messageAt(all);
  let floats = NO_FLOATS;
  eachField(cursor, (field, wire) => {
    if (field !== 1) return false;
    floats = packedAt(cursor, wire, floats);
    return true;
  });
  return floats;
}
