import { eachMember } from '../json-scan.ts';

/** What an upstream says a call cost, in tokens. All are whole and not negative. */
export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly totalTokens: number;
}

type Count = keyof Usage;

/** Chat's and completions' words, the responses API's, and what embeddings and rerank say. */
const KEYS: readonly { readonly quoted: Buffer; readonly count: Count }[] = [
  { quoted: Buffer.from('"prompt_tokens"'), count: 'inputTokens' },
  { quoted: Buffer.from('"completion_tokens"'), count: 'outputTokens' },
  { quoted: Buffer.from('"total_tokens"'), count: 'totalTokens' },
  { quoted: Buffer.from('"input_tokens"'), count: 'inputTokens' },
  { quoted: Buffer.from('"output_tokens"'), count: 'outputTokens' },
];

/**
 * Reads the `usage` object at `start`. What it does not say of the three follows from the others. Undefined where it
 * counts no tokens, or is no object. Throws `invalid_json` where it is not JSON to its end.
 */
export function usageAt(body: Buffer, start: number): Usage | undefined {
  let input = -1;
  let output = -1;
  let total = -1;
  eachMember(body, start, (keyStart, valueStart, valueEnd) => {
    const count = countNamedAt(body, keyStart);
    if (count === undefined) return;
    const value = numberAt(body, valueStart, valueEnd);
    // Some gateways say one in its own words and 0 in the other's.
    if (count === 'inputTokens') input = Math.max(input, value);
    else if (count === 'outputTokens') output = Math.max(output, value);
    else total = Math.max(total, value);
  });
  if (input === -1 && output === -1 && total === -1) return undefined;
  const known = Math.max(0, input) + Math.max(0, output);
  const rest = Math.max(0, total - known);
  const inputTokens = input === -1 ? rest : input;
  const outputTokens = output === -1 && input !== -1 ? rest : Math.max(0, output);
  return { inputTokens, outputTokens, totalTokens: total === -1 ? known : total };
}

/**
 * From the first content of a stream to its end, over the tokens after the first; both times in milliseconds of one
 * clock. Undefined where nothing came after the first token.
 */
export function timePerOutputTokenSeconds(usage: Usage, firstContentMs: number, endMs: number): number | undefined {
  if (usage.outputTokens < 2 || endMs < firstContentMs) return undefined;
  return (endMs - firstContentMs) / 1000 / (usage.outputTokens - 1);
}

function countNamedAt(body: Buffer, start: number): Count | undefined {
  for (const { quoted, count } of KEYS) {
    let index = 1;
    while (index < quoted.length && body[start + index] === quoted[index]) index += 1;
    if (index === quoted.length) return count;
  }
  return undefined;
}

/** Below 0 for what is no number of tokens. */
function numberAt(body: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at += 1) {
    const digit = (body[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return unusualNumber(body.toString('latin1', start, end));
    value = value * 10 + digit;
  }
  return Number.isSafeInteger(value) ? value : -1;
}

/** As `29.0` or `2.9e1`; of other JSON values only numbers are numbers to it, and `true` or `"5"` are not. */
function unusualNumber(text: string): number {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : -1;
}
