import { isUtf8 } from 'node:buffer';
import { ProxyError } from '../errors.ts';
import { boundaryOf, isModelPart, malformed } from './multipart-part.ts';

/** The model that a multipart body asks for, and the bytes of its value, counted from the body's first. */
export interface MultipartModel {
  readonly model: string;
  readonly start: number;
  readonly end: number;
}

/** Reads a multipart body as it comes, in chunks of any size, and keeps at most a part's head of it. */
export interface MultipartScanner {
  /**
   * Takes the next bytes; gives the model from the chunk on in which its value has ended. What follows has to be
   * pushed too. Throws `bad_request`, or `duplicate_model` for a second one.
   */
  readonly push: (chunk: Buffer) => MultipartModel | undefined;
  /** The body is over. Throws `missing_model`, or `bad_request` where its end is missing. */
  readonly end: () => MultipartModel;
}

/** Longer names are no names; a part's head and the number of parts are bounded as other servers bound them. */
const MAX_MODEL_BYTES = 1024;
const MAX_HEAD_BYTES = 16_384;
const MAX_PARTS = 1_000;

const CR = 0x0d;
const LF = 0x0a;
const DASH = 0x2d;
const HEAD_END = Buffer.from('\r\n\r\n');
const NOTHING = Buffer.alloc(0);

/** What is known between two chunks. */
interface Scan {
  /** `--` and the boundary. */
  readonly delimiter: Buffer;
  state: 'preamble' | 'head' | 'content' | 'epilogue';
  /** Bytes not done with: the end of the last chunk, and before it what a find may begin with. */
  rest: Buffer;
  /** Where `rest` starts in the body. */
  restAt: number;
  /** Where the content of the part under way starts in the body. */
  contentAt: number;
  isModel: boolean;
  parts: number;
  found: MultipartModel | undefined;
}

/** For a body of this Content-Type. Throws `bad_request` or `unsupported_media_type` where it cannot be read. */
export function createMultipartScanner(contentType: string): MultipartScanner {
  const scan: Scan = {
    delimiter: Buffer.from(`--${boundaryOf(contentType)}`, 'latin1'),
    state: 'preamble',
    rest: NOTHING,
    restAt: 0,
    contentAt: 0,
    isModel: false,
    parts: 0,
    found: undefined,
  };
  return { push: (chunk) => push(scan, chunk), end: () => end(scan) };
}

function push(scan: Scan, chunk: Buffer): MultipartModel | undefined {
  const bytes = scan.rest.length === 0 ? chunk : Buffer.concat([scan.rest, chunk]);
  let done = 0;
  for (let next: number | undefined = 0; next !== undefined; next = step(scan, bytes, done)) done = next;
  const kept = keptFrom(scan, bytes, done);
  scan.rest = bytes.subarray(kept);
  scan.restAt += kept;
  return scan.found;
}

function end(scan: Scan): MultipartModel {
  if (scan.state !== 'epilogue') throw malformed('it ends before its closing boundary');
  if (scan.found === undefined)
    throw new ProxyError('missing_model', 'The body has no field `model`', { param: 'model' });
  return scan.found;
}

/** The offset after what could be read from `start` on; undefined where that takes more bytes. */
function step(scan: Scan, bytes: Buffer, start: number): number | undefined {
  if (scan.state === 'head') return readHead(scan, bytes, start);
  if (scan.state === 'epilogue') return readEpilogue(scan, bytes, start);
  return readContent(scan, bytes, start);
}

function readHead(scan: Scan, bytes: Buffer, start: number): number | undefined {
  const headEnd = bytes.indexOf(HEAD_END, start);
  if ((headEnd === -1 ? bytes.length : headEnd) - start > MAX_HEAD_BYTES)
    throw malformed('the head of a part is too large');
  if (headEnd === -1) return undefined;
  scan.isModel = isModelPart(bytes.toString('latin1', start, headEnd));
  if (scan.isModel && scan.found !== undefined) {
    throw new ProxyError('duplicate_model', 'The body has more than one field `model`', { param: 'model' });
  }
  const contentStart = headEnd + HEAD_END.length;
  scan.state = 'content';
  scan.contentAt = scan.restAt + contentStart;
  return contentStart;
}

/** To the next boundary and the two bytes that say what follows it. */
function readContent(scan: Scan, bytes: Buffer, start: number): number | undefined {
  const { delimiter } = scan;
  for (let at = bytes.indexOf(delimiter, start); at !== -1; at = bytes.indexOf(delimiter, at + 1)) {
    if (!startsLine(scan, bytes, at)) continue;
    const after = at + delimiter.length;
    if (after + 2 > bytes.length) return undefined;
    if (scan.isModel) scan.found = modelOf(scan, bytes, at - 2);
    scan.isModel = false;
    scan.parts += 1;
    if (scan.parts > MAX_PARTS) throw malformed(`it has more than ${MAX_PARTS} parts`);
    scan.state = stateAfter(bytes, after);
    scan.contentAt = scan.restAt + after + 2;
    return after + 2;
  }
  return undefined;
}

/** Boundaries follow CRLF. Some servers take CR or LF alone, some forget that a part's content ends in a CRLF of its own. */
function startsLine(scan: Scan, bytes: Buffer, at: number): boolean {
  const bodyAt = scan.restAt + at;
  if (bodyAt === 0) return true;
  const before = bytes[at - 1];
  const isFirst = bodyAt === scan.contentAt;
  // In the middle of a line it is content; but before the first part some servers take it for a boundary.
  if (!isFirst && before !== LF && before !== CR && scan.state === 'content') return false;
  if (!isFirst && before === LF && bytes[at - 2] === CR) return true;
  throw malformed('a boundary does not follow a line break of its own');
}

function stateAfter(bytes: Buffer, at: number): 'head' | 'epilogue' {
  if (bytes[at] === CR && bytes[at + 1] === LF) return 'head';
  if (bytes[at] === DASH && bytes[at + 1] === DASH) return 'epilogue';
  throw malformed('a boundary is followed by something else than a line break');
}

function modelOf(scan: Scan, bytes: Buffer, valueEnd: number): MultipartModel {
  const value = bytes.subarray(scan.contentAt - scan.restAt, valueEnd);
  if (value.length === 0) throw new ProxyError('missing_model', '`model` must not be empty', { param: 'model' });
  if (value.length > MAX_MODEL_BYTES) throw malformed('`model` is too long');
  if (value.includes(CR) || value.includes(LF)) throw malformed('`model` has more than one line');
  if (!isUtf8(value)) throw malformed('`model` is not valid UTF-8');
  return { model: value.toString(), start: scan.contentAt, end: scan.contentAt + value.length };
}

/** What follows the closing boundary means nothing, as long as no server can take it for another part. */
function readEpilogue(scan: Scan, bytes: Buffer, start: number): undefined {
  const first = bytes[scan.contentAt - scan.restAt];
  const isAnotherLine = scan.restAt > scan.contentAt || first === undefined || first === CR || first === LF;
  if (!isAnotherLine || bytes.includes(scan.delimiter, start))
    throw malformed('there is more after its closing boundary');
  return undefined;
}

/** Before it nothing is needed any more: a boundary begins two bytes ahead of it and is decided two bytes after it. */
function keptFrom(scan: Scan, bytes: Buffer, done: number): number {
  if (scan.state === 'head') return done;
  const longest = scan.delimiter.length + 3;
  if (!scan.isModel) return Math.max(done, bytes.length - longest);
  const contentStart = scan.contentAt - scan.restAt;
  if (bytes.length - contentStart > MAX_MODEL_BYTES + longest) throw malformed('`model` is too long');
  return contentStart;
}
