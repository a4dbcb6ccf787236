import { type ClientHttp2Stream, constants, type Http2Session, type IncomingHttpHeaders } from 'node:http2';
import { causeOfConnectError } from '../upstream/outcome.ts';
import { status } from './codes.ts';
import { answerMetadata, metadataValue } from './metadata.ts';
import type { Sessions } from './sessions.ts';
import { readStatus, statusOfHttp, statusOfReset } from './status.ts';
import { answered, endedBy, type UpstreamEnd } from './upstream-end.ts';

/** What comes of a call to an endpoint, in this order; nothing after `onEnd`, which comes once. */
export interface UpstreamEvents {
  /** Messages can be written. */
  onOpen: () => void;
  /** Initial metadata, flat, as it may go to the client. */
  onHead: (metadata: string[]) => void;
  onData: (chunk: Buffer) => void;
  /** After a `write` that gave false. */
  onDrain: () => void;
  onEnd: (end: UpstreamEnd) => void;
}

const END_STREAM = constants.NGHTTP2_FLAG_END_STREAM;

/** One HTTP/2 stream to one endpoint; state over many callbacks: hence a class. */
export class UpstreamCall {
  readonly #sessions: Sessions;
  readonly #headers: readonly string[];
  readonly #events: UpstreamEvents;
  #stream: ClientHttp2Stream | undefined;
  #session: Http2Session | undefined;
  #stopWaiting: (() => void) | undefined;
  #hasHead = false;
  #fault: UpstreamEnd | undefined;
  #trailers: readonly string[] | undefined;
  #isFull = false;
  #isOver = false;

  constructor(sessions: Sessions, headers: readonly string[], events: UpstreamEvents) {
    this.#sessions = sessions;
    this.#headers = headers;
    this.#events = events;
  }

  open(): void {
    let stream: ClientHttp2Stream | undefined;
    try {
      stream = this.#sessions.openStream(this.#headers);
    } catch (error) {
      this.#end(endedBy('not_sent', status('INTERNAL', `The metadata cannot be sent: ${(error as Error).message}`)));
      return;
    }
    if (stream !== undefined) this.#attach(stream);
    else this.#stopWaiting = this.#sessions.wait((error) => this.#onRoom(error));
  }

  write(frame: Buffer): boolean {
    const stream = this.#stream as ClientHttp2Stream;
    if (this.#isOver || stream.write(frame)) return true;
    if (this.#isFull) return false;
    this.#isFull = true;
    stream.once('drain', () => {
      this.#isFull = false;
      if (!this.#isOver) this.#events.onDrain();
    });
    return false;
  }

  /** No more messages; `frame` is the last. */
  finish(frame?: Buffer): void {
    if (this.#isOver) return;
    if (frame === undefined) this.#stream?.end();
    else this.#stream?.end(frame);
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  /** Nobody waits for it any more; no event comes after this. */
  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopWaiting?.();
    this.#stream?.close(constants.NGHTTP2_CANCEL);
  }

  #onRoom(error: Error | undefined): void {
    this.#stopWaiting = undefined;
    if (this.#isOver) return;
    if (error === undefined) this.open();
    else this.#end(endedBy(causeOfConnectError(error), unavailable(error.message)));
  }

  #attach(stream: ClientHttp2Stream): void {
    this.#stream = stream;
    this.#session = stream.session;
    stream.on('response', (headers, flags, rawHeaders) => {
      this.#onResponse(headers, flags, rawHeaders as unknown as readonly string[]);
    });
    stream.on('trailers', (_headers: IncomingHttpHeaders, _flags: number, rawHeaders?: readonly string[]) => {
      this.#trailers = rawHeaders ?? [];
    });
    stream.on('data', (chunk: Buffer) => {
      if (!this.#isOver && this.#fault === undefined) this.#events.onData(chunk);
    });
    stream.on('end', () => {
      if (this.#trailers !== undefined) this.#finish(this.#trailers);
    });
    stream.on('close', () => this.#onClose(stream));
    this.#events.onOpen();
  }

  #onResponse(headers: IncomingHttpHeaders, flags: number, rawHeaders: readonly string[]): void {
    if (this.#isOver) return;
    this.#hasHead = true;
    const httpStatus = Number(headers[':status']);
    if (httpStatus !== 200) this.#fault = endedBy('malformed_http', statusOfHttp(httpStatus));
    else if (!metadataValue(rawHeaders, 'content-type').startsWith('application/grpc')) this.#fault = NOT_GRPC;
    if ((flags & END_STREAM) !== 0) this.#finish(rawHeaders);
    else if (this.#fault === undefined) this.#events.onHead(answerMetadata(rawHeaders));
  }

  #finish(rawTrailers: readonly string[]): void {
    const said = readStatus(rawTrailers);
    if (said === undefined) this.#end(this.#fault ?? NO_STATUS);
    else this.#end(answered(said, answerMetadata(rawTrailers)));
  }

  #onClose(stream: ClientHttp2Stream): void {
    if (this.#isOver) return;
    const { rstCode } = stream;
    if (rstCode === constants.NGHTTP2_REFUSED_STREAM) {
      this.#end(endedBy('reset', statusOfReset(rstCode), true));
    } else if (this.#session?.destroyed === true) {
      // The first stream of a connection has the id 1: with another, the connection was a kept one.
      const isKept = stream.id !== 1;
      this.#end(endedBy('reset', unavailable('the connection was lost'), isKept && !this.#hasHead));
    } else if (rstCode === constants.NGHTTP2_NO_ERROR) this.#end(this.#fault ?? NO_STATUS);
    else this.#end(endedBy('reset', statusOfReset(rstCode)));
  }

  #end(end: UpstreamEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // An answer that came before our last message.
    if (this.#stream !== undefined && !this.#stream.writableEnded) this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#events.onEnd(end);
  }
}

function unavailable(why: string): ReturnType<typeof status> {
  return status('UNAVAILABLE', `Failed to connect to backend: ${why}`);
}

const NO_STATUS = endedBy('malformed_http', status('INTERNAL', 'The backend ended the call without a status'));
const NOT_GRPC = endedBy('malformed_http', status('UNKNOWN', 'The backend answered with something that is not gRPC'));
