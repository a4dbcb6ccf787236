import { Readable } from 'node:stream';
import { endStep, limitStep } from '../alarm.ts';
import { endCall } from '../call.ts';
import { ProxyError } from '../errors.ts';
import type { StreamedBody } from '../upstream/http1/connection.ts';
import {
  askForBody,
  type BodyLimits,
  type HeldBytes,
  hold,
  lateBody,
  refuseDeclaredLength,
  releaseBody,
  tooLarge,
} from './body.ts';
import type { Exchange } from './exchange.ts';
import { createMultipartScanner, type MultipartModel, type MultipartScanner } from './multipart-model.ts';
import { addPiece, createPieces, wholeOf } from './pieces.ts';

/** A multipart body of which only what came before its model is held. */
export interface MultipartBody {
  readonly model: string;
  /** The body with this model in it. */
  readonly as: (model: string) => StreamedBody;
  /** Until a byte of it was taken it can be sent to another endpoint. */
  readonly isRepeatable: () => boolean;
}

/** CONTRACT §3: what stands before the model is held up to so much. */
const MAX_HELD_BYTES = 32 * 1024 * 1024;

/** Reads on until the model is known; the rest waits in the socket. */
export async function readMultipart(exchange: Exchange, limits: BodyLimits, held: HeldBytes): Promise<MultipartBody> {
  refuseDeclaredLength(exchange, limits);
  const scanner = createMultipartScanner(exchange.head.contentType);
  askForBody(exchange);
  const { found, isWhole, ...head } = await readHead(
    exchange,
    scanner,
    { ...limits, maxBodyBytes: MAX_HELD_BYTES },
    held,
  );
  let { bytes } = head;
  const upload: Upload = { cameAt: Number.NEGATIVE_INFINITY, hasBegun: false };
  return {
    model: found.model,
    isRepeatable: () => !upload.hasBegun,
    as: (model) => ({
      started: () => upload.hasBegun,
      cameAt: () => upload.cameAt,
      length: lengthWith(exchange, found, model),
      open: () =>
        restOf(exchange, scanner, limits, upload, {
          isWhole,
          take: () => {
            const taken = withModel(bytes, found, model);
            bytes = NOTHING;
            return taken;
          },
          isGone: () => releaseBody(exchange, held),
        }),
    }),
  };
}

const NOTHING: Buffer = Buffer.alloc(0);

/** What is known of the body on its way, of which there is one whatever the number of tries. */
interface Upload {
  cameAt: number;
  hasBegun: boolean;
}

/** What was held of the body. */
interface HeldPart {
  readonly isWhole: boolean;
  /** Once. */
  readonly take: () => Buffer;
  /** The upstream has taken it. */
  readonly isGone: () => void;
}

interface Head {
  readonly bytes: Buffer;
  readonly found: MultipartModel;
  readonly isWhole: boolean;
}

function readHead(exchange: Exchange, scanner: MultipartScanner, limits: BodyLimits, held: HeldBytes): Promise<Head> {
  const { req, alarm, call } = exchange;
  return new Promise((resolve, reject) => {
    const pieces = createPieces();
    const stop = (): void => {
      req.off('data', take).off('end', finish).off('error', broken);
      endStep(alarm);
      call.undo = undefined;
    };
    const fail = (error: unknown): void => {
      stop();
      reject(error);
    };
    const { bodyMs } = limits.times;
    const late = (): void => fail(lateBody(bodyMs));
    const done = (found: MultipartModel, isWhole: boolean): void => {
      stop();
      req.pause();
      resolve({ bytes: wholeOf(pieces), found, isWhole });
    };
    const take = (chunk: Buffer): void => {
      limitStep(alarm, bodyMs, late);
      addPiece(pieces, chunk);
      try {
        const refusal = hold(exchange, chunk.length, limits, held);
        if (refusal !== undefined) throw refusal;
        const found = scanner.push(chunk);
        if (found !== undefined) done(found, false);
      } catch (error) {
        fail(error);
      }
    };
    const finish = (): void => {
      try {
        done(scanner.end(), true);
      } catch (error) {
        fail(error);
      }
    };
    const broken = (): void => fail(new ProxyError('bad_request', 'The request body could not be read'));
    call.undo = () => fail(new ProxyError('client_timeout', 'The client left before its body was complete'));
    limitStep(alarm, bodyMs, late);
    req.on('data', take).on('end', finish).on('error', broken);
  });
}

/** An upstream that is slow leaves what was held with us, where it is counted, and not in its socket. */
const SLICE_BYTES = 64 * 1024;

/** What was held, then what comes, byte for byte, with the back-pressure of whoever reads it. */
function restOf(
  exchange: Exchange,
  scanner: MultipartScanner,
  { maxBodyBytes, times }: BodyLimits,
  upload: Upload,
  heldPart: HeldPart,
): Readable {
  const { req } = exchange;
  let sent = 0;
  let begun = false;
  let bytes: Buffer = NOTHING;
  let bytesAt = 0;
  // Only while the upstream takes bytes is it the client that is waited for.
  let late: NodeJS.Timeout | undefined;
  const awaitClient = (): void => {
    clearTimeout(late);
    late = setTimeout(() => spoil(lateBody(times.bodyMs)), times.bodyMs);
  };
  const take = (chunk: Buffer): void => {
    sent += chunk.length;
    upload.cameAt = performance.now();
    try {
      if (sent > maxBodyBytes) throw tooLarge(maxBodyBytes);
      scanner.push(chunk);
      late?.refresh();
      if (body.push(chunk)) return;
      req.pause();
      clearTimeout(late);
    } catch (error) {
      spoil(error);
    }
  };
  const finish = (): void => {
    clearTimeout(late);
    try {
      scanner.end();
      body.push(null);
    } catch (error) {
      spoil(error);
    }
  };
  const spoil = (error: unknown): void => {
    clearTimeout(late);
    req.off('data', take).off('end', finish);
    exchange.refusal = error instanceof ProxyError ? error : undefined;
    body.destroy(error as Error);
    endCall(exchange.call, 'refused');
  };
  const start = (): void => {
    begun = true;
    upload.hasBegun = true;
    upload.cameAt = performance.now();
    bytes = heldPart.take();
    sent = bytes.length;
    giveHeld();
  };
  const giveHeld = (): void => {
    let takesMore = true;
    while (takesMore && bytesAt < bytes.length) {
      takesMore = body.push(bytes.subarray(bytesAt, bytesAt + SLICE_BYTES));
      bytesAt += SLICE_BYTES;
    }
    if (bytesAt < bytes.length) return;
    bytes = NOTHING;
    heldPart.isGone();
    if (heldPart.isWhole) {
      body.push(null);
      return;
    }
    req.on('data', take).on('end', finish);
    awaitClient();
    req.resume();
  };
  const body = new Readable({
    read: () => {
      if (!begun) {
        start();
      } else if (bytes.length > 0) {
        giveHeld();
      } else {
        if (req.isPaused()) awaitClient();
        req.resume();
      }
    },
    destroy: (error, done) => {
      clearTimeout(late);
      // Nobody takes the rest any more: it flows off, so that the client comes to reading its answer.
      if (begun) req.off('data', take).off('end', finish).resume();
      done(error);
    },
  });
  return body;
}

function withModel(bytes: Buffer, found: MultipartModel, model: string): Buffer {
  if (model === found.model) return bytes;
  return Buffer.concat([bytes.subarray(0, found.start), Buffer.from(model), bytes.subarray(found.end)]);
}

/** The content-length with another model, where the client gave one. */
function lengthWith({ head }: Exchange, found: MultipartModel, model: string): number | undefined {
  if (head.contentLength === undefined) return undefined;
  return head.contentLength - (found.end - found.start) + Buffer.byteLength(model);
}
