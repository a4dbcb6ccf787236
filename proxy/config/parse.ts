import type * as z from 'zod';
import { revisionOf } from './encode.ts';
import { Owner, ProxiesDocument, PublishedDocument } from './schema.ts';

/** A published document as read: with the bytes it came in and their revision. */
export interface Parsed<T extends PublishedDocument = PublishedDocument> {
  readonly text: string;
  readonly revision: string;
  readonly document: T;
}

/** Why a text is no published document, and whose it is as far as that can be told. */
export interface Refusal {
  readonly revision: string;
  /** Names the field. Never quotes the text: it may hold keys. */
  readonly message: string;
  readonly owner: Owner | undefined;
  /** It is the list of proxies, which is nobody's. */
  readonly isProxies?: boolean;
}

export type ParseResult =
  | { readonly parsed: Parsed }
  | { readonly proxies: readonly string[] }
  | { readonly refusal: Refusal };

/** Reads one document. Unknown fields pass, absent ones get their defaults. */
export function parsePublished(text: string): ParseResult {
  const revision = revisionOf(text);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { refusal: { revision, message: notJson(text, error), owner: undefined } };
  }
  if (isProxies(json)) return readProxies(json, revision);
  const result = PublishedDocument.safeParse(json);
  if (result.success) return { parsed: { text, revision, document: result.data } };
  return { refusal: { revision, message: issuesText(result.error.issues), owner: ownerOf(json) } };
}

function isProxies(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'kind' in json && json.kind === 'Proxies';
}

function readProxies(json: unknown, revision: string): ParseResult {
  const result = ProxiesDocument.safeParse(json);
  if (result.success) return { proxies: result.data.ids };
  return { refusal: { revision, message: issuesText(result.error.issues), owner: undefined, isProxies: true } };
}

/** V8's own message quotes the text, so only the position is taken from it. */
function notJson(text: string, error: unknown): string {
  if (text.trim() === '') return 'is empty';
  const position = error instanceof Error ? /at position \d+/.exec(error.message)?.[0] : undefined;
  return position === undefined ? 'is not JSON' : `is not JSON ${position}`;
}

const SHOWN_ISSUES = 3;

function issuesText(issues: readonly z.core.$ZodIssue[]): string {
  const shown = issues.slice(0, SHOWN_ISSUES).map((issue) => `${fieldPath(issue.path)}: ${issueText(issue)}`);
  const rest = issues.length - shown.length;
  return rest > 0 ? `${shown.join('; ')}; and ${rest} more` : shown.join('; ');
}

function issueText(issue: z.core.$ZodIssue): string {
  const isFormat = issue.path.length === 1 && issue.path[0] === 'format';
  return isFormat ? `${issue.message}; written by a newer operator? Then update the proxy` : issue.message;
}

function fieldPath(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'document';
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

function ownerOf(json: unknown): Owner | undefined {
  const owner = Owner.safeParse(json);
  return owner.success ? owner.data : undefined;
}
