import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { clientError } from './client-error.ts';
import type { StreamedBody } from './connection.ts';

/** Up to here one string that holds frame and bytes is cheaper to write than three pieces. */
const SHORT_BYTES = 8 * 1024;

/** A request body on its way, as fast as the socket takes it. */
export class Upload {
  /** Its last byte was written. */
  isDone = false;
  readonly #socket: Socket;
  readonly #source: Readable;
  readonly #fail: (error: Error) => void;
  /** Still to come, where the length is known. */
  #left: number | undefined;

  /** `fail` is called once at most: the source broke, or is not as long as it said. */
  constructor(body: StreamedBody, socket: Socket, fail: (error: Error) => void) {
    this.#socket = socket;
    this.#left = body.length;
    this.#fail = fail;
    this.#source = body.open();
    this.#source.on('data', (chunk: Buffer) => this.#send(chunk));
    this.#source.on('end', () => this.#finish());
    this.#source.on('error', (error) => this.#stopWith(error));
    this.#source.on('close', () => this.#stopWith(wrongLength('ended before its end')));
  }

  /** The socket takes bytes again. */
  goOn(): void {
    if (!this.isDone) this.#source.resume();
  }

  /** Sends no more, and lets the source go. */
  stop(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.#source.destroy();
  }

  #send(chunk: Buffer): void {
    if (this.isDone || chunk.length === 0) return;
    if (this.#left === undefined) {
      if (!this.#writeChunk(chunk)) this.#source.pause();
      return;
    }
    this.#left -= chunk.length;
    if (this.#left < 0) this.#stopWith(wrongLength('is longer than it said'));
    else if (!this.#socket.write(chunk)) this.#source.pause();
  }

  #writeChunk(chunk: Buffer): boolean {
    const size = `${chunk.length.toString(16)}\r\n`;
    if (chunk.length <= SHORT_BYTES) return this.#socket.write(`${size}${chunk.toString('latin1')}\r\n`, 'latin1');
    this.#socket.cork();
    this.#socket.write(size, 'latin1');
    this.#socket.write(chunk);
    const takesMore = this.#socket.write('\r\n', 'latin1');
    this.#socket.uncork();
    return takesMore;
  }

  #finish(): void {
    if (this.isDone) return;
    if (this.#left !== undefined && this.#left > 0) {
      this.#stopWith(wrongLength('is shorter than it said'));
      return;
    }
    this.isDone = true;
    if (this.#left === undefined) this.#socket.write('0\r\n\r\n', 'latin1');
  }

  #stopWith(error: Error): void {
    if (this.isDone) return;
    this.stop();
    this.#fail(error);
  }
}

function wrongLength(how: string): Error {
  return clientError('ERR_UPSTREAM_BODY_LENGTH', `the request body ${how}`);
}
