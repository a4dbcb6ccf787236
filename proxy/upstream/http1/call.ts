import type { Incoming, Sending } from './connection.ts';

/** What a call does to the connection it is on. */
export interface Line {
  readonly hold: () => void;
  readonly goOn: (call: Call) => void;
  readonly drop: () => void;
}

/** One call on one connection. Once it is over nothing that its caller does reaches the connection, which others use. */
export class Call implements Sending {
  answerBegan = false;
  isPaused = false;
  isOver = false;
  readonly incoming: Incoming;
  readonly isReused: boolean;
  /** Its answer has no body, whatever the head says. */
  readonly isHead: boolean;
  /** None where it was refused before it had one. */
  readonly #line: Line | undefined;

  constructor(incoming: Incoming, method: string, line: Line | undefined, isReused: boolean) {
    this.incoming = incoming;
    this.isHead = method === 'HEAD';
    this.#line = line;
    this.isReused = isReused;
  }

  pause(): void {
    if (this.isOver || this.isPaused) return;
    this.isPaused = true;
    this.#line?.hold();
  }

  resume(): void {
    if (this.isOver || !this.isPaused) return;
    this.isPaused = false;
    this.#line?.goOn(this);
  }

  abort(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#line?.drop();
  }

  end(): void {
    this.isOver = true;
    this.incoming.onEnd();
  }

  fail(error: Error): void {
    if (this.isOver) return;
    this.isOver = true;
    this.incoming.onError(error);
  }
}
