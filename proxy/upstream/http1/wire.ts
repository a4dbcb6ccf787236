import type { Socket } from 'node:net';
import { type Letter, postLater } from '../../outbox.ts';
import { Answer } from './answer.ts';
import type { Call, Line } from './call.ts';
import { clientError, isMalformed } from './client-error.ts';
import type { Outgoing } from './connection.ts';
import { readBuffer, type Way } from './open-socket.ts';
import { Upload } from './upload.ts';

/** Who keeps connections while they are idle. */
export interface Keeper {
  /** It can take another call. `seconds`: how long the server keeps it, where it says so. */
  readonly keep: (wire: Wire, seconds: number | undefined) => void;
  /** It is closed. */
  readonly forget: (wire: Wire) => void;
}

/** A longer body costs more to turn into a string than a second piece costs to write. */
const SHORT_BYTES = 8 * 1024;

/** One connection, with one call on it at most. */
export class Wire implements Line, Letter {
  /** Kept until then, on the keeper's clock. */
  idleUntilMs = 0;
  readonly #keeper: Keeper;
  readonly #socket: Socket;
  readonly #answer = new Answer();
  #call: Call | undefined;
  #upload: Upload | undefined;
  /** What waits for the connection to be made, or for the end of the turn. */
  #waiting: { readonly outgoing: Outgoing; readonly head: string } | undefined;
  #isReady = false;
  #isReading = false;
  /** Came while the call was paused, or was left over then. */
  #held: Buffer | undefined;
  /** How the connection ended while the call was paused. */
  #ending: Error | 'fin' | undefined;
  #connectTimer: NodeJS.Timeout | undefined;

  /** Opens it. Throws what is wrong with the settings themselves. */
  constructor(way: Way, connectMs: number, keeper: Keeper) {
    this.#keeper = keeper;
    const socket = way.open((size) => this.#take(size));
    this.#socket = socket;
    socket.on(way.readyEvent, () => this.#ready());
    socket.on('drain', () => this.#upload?.goOn());
    // Before it is ready, Node says in an error of its own what the end means.
    socket.on('end', () => this.#isReady && this.#ended('fin'));
    socket.on('error', (error) => this.#ended(firstOf(error)));
    socket.on('close', () => this.#ended('fin'));
    if (connectMs > 0) this.#connectTimer = setTimeout(() => this.#connectIsLate(connectMs), connectMs);
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.readable;
  }

  /** Its last call is over. `head` is that of `outgoing`. */
  send(outgoing: Outgoing, head: string, call: Call): void {
    this.#call = call;
    this.#answer.begin();
    this.#waiting = { outgoing, head };
    if (this.#isReady) postLater(this);
  }

  post(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.#write(waiting.outgoing, waiting.head);
  }

  hold(): void {
    this.#socket.pause();
  }

  goOn(call: Call): void {
    this.#socket.resume();
    // What is being read goes on by itself.
    if (this.#isReading) return;
    const held = this.#held;
    this.#held = undefined;
    if (this.#answer.isWhole) this.#complete(call, held === undefined);
    else if (held !== undefined) this.#read(held, call);
    if (this.#ending !== undefined && !call.isOver && !call.isPaused) this.#endWith(this.#ending, call);
  }

  drop(): void {
    this.#call = undefined;
    this.#waiting = undefined;
    clearTimeout(this.#connectTimer);
    this.#socket.destroy();
    this.#upload?.stop();
    this.#keeper.forget(this);
  }

  #ready(): void {
    clearTimeout(this.#connectTimer);
    this.#isReady = true;
    this.post();
  }

  #write({ body }: Outgoing, head: string): void {
    if (body === undefined) {
      this.#socket.write(head, 'latin1');
    } else if (!Buffer.isBuffer(body)) {
      this.#socket.write(head, 'latin1');
      this.#upload = new Upload(body, this.#socket, (error) => this.#fail(error));
    } else if (body.length <= SHORT_BYTES) {
      this.#socket.write(head + body.toString('latin1'), 'latin1');
    } else {
      this.#socket.cork();
      this.#socket.write(head, 'latin1');
      this.#socket.write(body);
      this.#socket.uncork();
    }
  }

  /** Always true: who wants no more bytes says so by `pause`. */
  #take(size: number): boolean {
    const bytes = Buffer.allocUnsafe(size);
    readBuffer.copy(bytes, 0, 0, size);
    const call = this.#call;
    if (call === undefined) {
      // Nobody asked: the next call would take it for its answer.
      this.drop();
      return true;
    }
    call.answerBegan = true;
    if (call.isPaused) this.#held = this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes]);
    else this.#read(bytes, call);
    return true;
  }

  #read(bytes: Buffer, call: Call): void {
    let used: number;
    this.#isReading = true;
    try {
      used = this.#answer.read(bytes, call);
    } catch (error) {
      if (!isMalformed(error)) throw error;
      this.#fail(error);
      return;
    } finally {
      this.#isReading = false;
    }
    if (call.isOver) return;
    if (this.#answer.isWhole && !call.isPaused) this.#complete(call, used === bytes.length);
    else if (used < bytes.length) this.#held = bytes.subarray(used);
  }

  /** `isClean`: nothing came after the answer. */
  #complete(call: Call, isClean: boolean): void {
    const { isKept, keptSeconds } = this.#answer;
    const isSent = this.#socket.writableLength === 0 && this.#upload?.isDone !== false;
    if (isClean && isKept && isSent && this.#ending === undefined && this.isOpen) {
      this.#call = undefined;
      this.#upload = undefined;
      this.#keeper.keep(this, keptSeconds);
    } else {
      this.drop();
    }
    call.end();
  }

  #connectIsLate(connectMs: number): void {
    this.#fail(clientError('ERR_UPSTREAM_CONNECT_TIMEOUT', `not connected within ${connectMs} ms`));
  }

  #ended(ending: Error | 'fin'): void {
    const call = this.#call;
    if (call === undefined) this.drop();
    else if (call.isPaused) this.#ending ??= ending;
    else this.#endWith(ending, call);
  }

  #endWith(ending: Error | 'fin', call: Call): void {
    if (ending !== 'fin') this.#fail(ending);
    else if (this.#answer.endsWithConnection) this.#complete(call, false);
    else this.#fail(clientError('ERR_UPSTREAM_CUT', 'the connection was closed before the answer was complete'));
  }

  #fail(error: Error): void {
    const call = this.#call;
    this.drop();
    call?.fail(error);
  }
}

/** Where several addresses were tried, the error of the first: the one that collects them says nothing itself. */
function firstOf(error: Error): Error {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  return first instanceof Error ? first : error;
}
