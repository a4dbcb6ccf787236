import { type Fields, flagIn, isAbsent, textOrNone, wrong } from './fields.ts';
import { addFlag, addNumber, type Message } from './write-message.ts';

/** How an input that is too long is cut, as all of TEI's REST but tokenize and decode has it. */
export interface Truncation {
  readonly truncate: boolean;
  /** TruncationDirection's number. */
  readonly direction: number;
}

/** What is absent TEI's REST cuts, and on the right; its gRPC would refuse it. */
export const CUT_RIGHT: Truncation = { truncate: true, direction: 0 };

export function truncationIn(fields: Fields): Truncation {
  return { truncate: flagIn(fields, 'truncate', CUT_RIGHT.truncate), direction: directionIn(fields) };
}

/** With the numbers that these fields have in a message. */
export function addTruncation(
  message: Message,
  { truncate, direction }: Truncation,
  fields: readonly [number, number],
): void {
  addFlag(message, fields[0], truncate);
  if (direction !== 0) addNumber(message, fields[1], direction);
}

function directionIn(fields: Fields): number {
  const field = 'truncation_direction';
  if (isAbsent(fields[field])) return CUT_RIGHT.direction;
  const direction = DIRECTIONS.get(textOrNone(fields, field) ?? '');
  if (direction === undefined) throw wrong(field, "'left' or 'right'");
  return direction;
}

const DIRECTIONS: ReadonlyMap<string, number> = new Map([
  ['right', 0],
  ['Right', 0],
  ['left', 1],
  ['Left', 1],
]);
