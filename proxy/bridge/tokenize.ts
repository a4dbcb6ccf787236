import { frameOf } from '../grpc/frames.ts';
import type { Cursor } from '../grpc/protobuf.ts';
import { streamed } from './embed-request.ts';
import { type Fields, flagIn, idListsIn, textOrNone, textsIn } from './fields.ts';
import { cursorOf, eachField, messageAt, numberAt, textAt } from './read-message.ts';
import { listWriter, type TeiCall } from './tei-call.ts';
import { addFlag, addOptionalText, addPacked, addText, type Message } from './write-message.ts';

export function tokenizeCall(fields: Fields): TeiCall {
  const inputs = textsIn(fields, 'inputs');
  const addSpecialTokens = flagIn(fields, 'add_special_tokens', true);
  const promptName = textOrNone(fields, 'prompt_name');
  const frame = (index: number): Buffer => {
    const message: Message = [];
    addText(message, 1, inputs[index] as string);
    addFlag(message, 2, addSpecialTokens);
    addOptionalText(message, 3, promptName);
    return frameOf(...message);
  };
  const writer = listWriter(tokensJson);
  return { ...streamed('/tei.v1.Tokenize/Tokenize', inputs.length), frame, writer, errors: 'tei' };
}

export function decodeCall(fields: Fields): TeiCall {
  const lists = idListsIn(fields, 'ids');
  const skipSpecialTokens = flagIn(fields, 'skip_special_tokens', true);
  const frame = (index: number): Buffer => {
    const message: Message = [];
    addPacked(message, 1, lists[index] as readonly number[]);
    addFlag(message, 2, skipSpecialTokens);
    return frameOf(...message);
  };
  const writer = listWriter(decodedJson);
  return { ...streamed('/tei.v1.Tokenize/Decode', lists.length), frame, writer, errors: 'tei' };
}

function tokensJson(message: Buffer): string {
  const cursor = cursorOf(message);
  const tokens: object[] = [];
  eachField(cursor, (field) => {
    if (field !== 1) return false;
    tokens.push(tokenAt(cursor));
    return true;
  });
  return JSON.stringify(tokens);
}

function tokenAt(all: Cursor): object {
  const cursor = messageAt(all);
  const token = { id: 0, text: '', special: false, start: null as number | null, stop: null as number | null };
  eachField(cursor, (field) => {
    if (field === 1) token.id = numberAt(cursor);
    else if (field === 2) token.text = textAt(cursor);
    else if (field === 3) token.special = numberAt(cursor) !== 0;
    else if (field === 4) token.start = numberAt(cursor);
    else if (field === 5) token.stop = numberAt(cursor);
    else return false;
    return true;
  });
  return token;
}

function decodedJson(message: Buffer): string {
  const cursor = cursorOf(message);
  let text = '';
  eachField(cursor, (field) => {
    if (field !== 1) return false;
    text = textAt(cursor);
    return true;
  });
  return JSON.stringify(text);
}
