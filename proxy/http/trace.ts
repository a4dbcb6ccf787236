import { sameName } from './header-names.ts';

/**
 * W3C Trace Context, as the head of a request has it: `valid` is passed on as it came, tracestate with it; `broken` is
 * replaced, and a tracestate that belongs to nothing goes with it.
 */
export type Trace = 'none' | 'valid' | 'broken';

const VERSION_00_CHARS = 55;
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;

/** Whether the value of a traceparent header means something. Later versions may have more at the end. */
export function isTraceparent(value: string): boolean {
  return TRACEPARENT.test(value) && (value.length === VERSION_00_CHARS || !value.startsWith('00'));
}

/** The headers with a trace in them: the client's own where it has a valid one, else a new one. May return `headers`. */
export function withTrace(headers: string[], trace: Trace, newTraceparent: () => string): string[] {
  if (trace === 'valid') return headers;
  const traced = trace === 'none' ? headers : withoutTrace(headers);
  traced.push('traceparent', newTraceparent());
  return traced;
}

function withoutTrace(headers: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    if (!sameName('traceparent', name) && !sameName('tracestate', name)) kept.push(name, headers[index + 1] as string);
  }
  return kept;
}

/** In hex digits. */
const TRACE_ID = 32;
const IDS = TRACE_ID + 16;
const BATCH = 256;

/**
 * Makes new traceparents of what `fill` puts into a buffer, which has to be random: many at a time, because asking the
 * system for each costs a request more than all its headers. They say `sampled`. Nothing is recorded here, but a server
 * with OpenTelemetry's default sampler does as its caller says: at `00` it would never again record a call, and without
 * a trace of ours it would record each.
 */
export function createTraceparents(fill: (bytes: Buffer) => void): () => string {
  const bytes = Buffer.alloc((IDS / 2) * BATCH);
  let digits = '';
  let at = 0;
  return () => {
    if (at === digits.length) {
      fill(bytes);
      digits = bytes.toString('hex');
      at = 0;
    }
    const parentAt = at + TRACE_ID;
    const end = at + IDS;
    const traceparent = `00-${digits.slice(at, parentAt)}-${digits.slice(parentAt, end)}-01`;
    at = end;
    return traceparent;
  };
}
