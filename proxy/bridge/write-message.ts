import { WIRE } from '../grpc/protobuf.ts';

/**
 * The fields of one message, appended to a list of its bytes. As proto3 has it, what has its type's default is left out;
 * of an `optional` field undefined is what is not there. Field numbers are below 16.
 */
export type Message = Buffer[];

export function addText(message: Message, field: number, text: string): void {
  if (text !== '') addOptionalText(message, field, text);
}

/** Also where it is empty: of a repeated field, too. */
export function addOptionalText(message: Message, field: number, text: string | undefined): void {
  if (text === undefined) return;
  const bytes = Buffer.from(text);
  message.push(Buffer.from([tagOf(field, WIRE.bytes), ...varint(bytes.length)]), bytes);
}

export function addFlag(message: Message, field: number, is: boolean): void {
  if (is) addOptionalFlag(message, field, is);
}

export function addOptionalFlag(message: Message, field: number, is: boolean | undefined): void {
  if (is !== undefined) addNumber(message, field, is ? 1 : 0);
}

/** A uint32 or an enum. */
export function addNumber(message: Message, field: number, value: number | undefined): void {
  if (value !== undefined) message.push(Buffer.from([tagOf(field, WIRE.varint), ...varint(value)]));
}

export function addPacked(message: Message, field: number, values: readonly number[]): void {
  const bytes = Buffer.from(values.flatMap(varint));
  message.push(Buffer.from([tagOf(field, WIRE.bytes), ...varint(bytes.length)]), bytes);
}

function tagOf(field: number, wire: number): number {
  return (field << 3) | wire;
}

/** Of at most 32 bits. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return bytes;
}
