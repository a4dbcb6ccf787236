import type { Translation, Verdict } from '../operator/translate/translation.ts';
import type { Fault } from './gather.ts';
import type { Look } from './look.ts';
import type { Shelf } from './shelf.ts';

export interface CheckInput {
  readonly translations: ReadonlyMap<string, Translation>;
  readonly faults: readonly Fault[];
  readonly shelf: Shelf;
  readonly unreadable: Look['unreadable'];
}

export interface CheckResult {
  readonly text: string;
  /** A resource is refused, or a file or folder cannot be read. */
  readonly isRefused: boolean;
}

/** What `--check` prints: the conditions of each resource, then what is wrong with files, then what a cluster would miss. */
export function check({ translations, faults, shelf, unreadable }: CheckInput): CheckResult {
  const owners = [...translations].sort(([a], [b]) => (a < b ? -1 : 1));
  const folders = [...unreadable].map(([dir, reason]) => `${dir}: cannot be read (${reason})`);
  const sections = [
    owners.map(([key, translation]) => [key, ...table(translation.verdicts)].join('\n')).join('\n\n'),
    section('Not taken as they stand:', [...folders, ...faults.map(faultLine)]),
    section('Only standalone can read these files; a cluster knows no variables:', filesWith(shelf, 'hasVariables')),
    section('Left to a cluster:', skippedLines(shelf)),
  ].filter((text) => text !== '');
  const isRefused = folders.length > 0 || faults.length > 0 || owners.some(([, translation]) => isDenied(translation));
  return { text: sections.length === 0 ? 'no resources' : sections.join('\n\n'), isRefused };
}

function isDenied({ verdicts }: Translation): boolean {
  return verdicts.some(({ type, status }) => type === 'Accepted' && status === 'False');
}

/** Columns by their widest cell; a message of several lines stays in its column. */
function table(verdicts: readonly Verdict[]): string[] {
  const rows = verdicts.map(({ type, status, reason, message }) => [type, status, reason, message] as const);
  const width = (column: 0 | 1 | 2) => Math.max(...rows.map((row) => row[column].length));
  const [types, statuses, reasons] = [width(0), width(1), width(2)];
  const indent = ' '.repeat(2 + types + 2 + statuses + 2 + reasons + 2);
  return rows.map(([type, status, reason, message]) => {
    const head = `  ${type.padEnd(types)}  ${status.padEnd(statuses)}  ${reason.padEnd(reasons)}`;
    return `${head}  ${message.replaceAll('\n', `\n${indent}`)}`.trimEnd();
  });
}

/** `FILE: LLMPool/ml/chat: spec.backends[0].url: …`. */
function faultLine({ file, key, message }: Fault): string {
  return [file, key, message].filter((part) => part !== undefined).join(': ');
}

function filesWith(shelf: Shelf, property: 'hasVariables'): string[] {
  return [...shelf].filter(([, state]) => state[property]).map(([file]) => file);
}

function skippedLines(shelf: Shelf): string[] {
  return [...shelf].flatMap(([file, { skipped }]) => skipped.map((key) => `${file}: ${key}`));
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : [title, ...lines.map((line) => `  ${line}`)].join('\n');
}
