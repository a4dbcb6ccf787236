/**
 * For how long a 429 or 529 asks to be left alone, in milliseconds: `retry-after-ms`, else `Retry-After` (seconds or a
 * date), else what the rate limit headers of OpenAI and Anthropic say. Undefined where nothing says so, or nothing that
 * can be understood. `headers` is flat, with names in lower case. Nobody's clock is trusted to say "now": a date that is
 * past says nothing.
 */
export function restMsOf(headers: readonly string[], nowEpochMs: number): number | undefined {
  const value = (name: string): string => {
    const index = headers.findIndex((header, at) => at % 2 === 0 && header === name);
    return index < 0 ? '' : (headers[index + 1] ?? '').trim();
  };
  const retryAfter = value('retry-after');
  return (
    numberOf(value('retry-after-ms')) ??
    secondsOf(retryAfter) ??
    untilDate(retryAfter, nowEpochMs) ??
    untilReset(headers, value, nowEpochMs)
  );
}

const NUMBER = /^\d+(?:\.\d+)?$/;

function numberOf(text: string): number | undefined {
  return NUMBER.test(text) ? Number(text) : undefined;
}

function secondsOf(text: string): number | undefined {
  const seconds = numberOf(text);
  return seconds === undefined ? undefined : seconds * 1000;
}

/** The three forms of RFC 9110, of which asctime names no zone, and RFC 3339's. */
const DATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .*\d\d:\d\d:\d\d.*$|^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

function untilDate(text: string, nowEpochMs: number): number | undefined {
  if (!DATE.test(text)) return undefined;
  const ms = Date.parse(/GMT$|^\d/.test(text) ? text : `${text} GMT`) - nowEpochMs;
  return ms > 0 ? ms : undefined;
}

const RESET = /^(?:x-ratelimit-reset-(?<openai>.+)|anthropic-ratelimit-(?<anthropic>.+)-reset)$/;

/** Of several limits the one that is used up counts; where none says so, the one that takes longest. */
function untilReset(
  headers: readonly string[],
  value: (name: string) => string,
  nowEpochMs: number,
): number | undefined {
  let longest: number | undefined;
  let longestUsedUp: number | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    const groups = RESET.exec(headers[index] as string)?.groups;
    if (groups === undefined) continue;
    const text = (headers[index + 1] ?? '').trim();
    const ms = durationOf(text) ?? secondsOf(text) ?? untilDate(text, nowEpochMs);
    if (ms === undefined) continue;
    const { openai, anthropic } = groups;
    const left =
      openai === undefined ? `anthropic-ratelimit-${anthropic}-remaining` : `x-ratelimit-remaining-${openai}`;
    longest = Math.max(longest ?? 0, ms);
    if (numberOf(value(left)) === 0) longestUsedUp = Math.max(longestUsedUp ?? 0, ms);
  }
  return longestUsedUp ?? longest;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|[smhd]))+$/;

/** `6m0s`, `1m12.5s`, `20ms`. */
function durationOf(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)([a-z]+)/g)) ms += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0);
  return ms;
}
