import { status } from './codes.ts';
import { endedBy, type UpstreamEnd } from './upstream-end.ts';

/** Milliseconds; 0: no limit. */
export interface Silences {
  /** From the first message to the first byte of an answer. */
  readonly firstByteMs: number;
  /** From then on: while an answer is owed, from the last byte, either way, to the next of an answer. */
  readonly idleMs: number;
}

/** How long an endpoint may be silent while it owes an answer. One timer a call, moved on as bytes pass. */
export class Patience {
  readonly #silences: Silences;
  readonly #owes: () => boolean;
  readonly #onLost: (end: UpstreamEnd) => void;
  #timer: NodeJS.Timeout | undefined;
  #hasHeard = false;

  /** `owes`: whether it has to answer now. `onLost`: it was silent for too long; once. */
  constructor(silences: Silences, owes: () => boolean, onLost: (end: UpstreamEnd) => void) {
    this.#silences = silences;
    this.#owes = owes;
    this.#onLost = onLost;
  }

  /** A message has gone out. */
  sent(): void {
    if (this.#hasHeard) this.#timer?.refresh();
    else this.#timer ??= this.#start(this.#silences.firstByteMs);
  }

  /** A byte of an answer has come. */
  heard(): void {
    if (this.#hasHeard) {
      this.#timer?.refresh();
      return;
    }
    this.#hasHeard = true;
    clearTimeout(this.#timer);
    this.#timer = this.#start(this.#silences.idleMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #start(ms: number): NodeJS.Timeout | undefined {
    return ms === 0 ? undefined : setTimeout(() => this.#onSilence(ms), ms);
  }

  #onSilence(ms: number): void {
    if (this.#hasHeard && !this.#owes()) {
      this.#timer?.refresh();
      return;
    }
    const words = `The backend gave no ${this.#hasHeard ? 'further ' : ''}answer within ${ms} ms`;
    this.#onLost(endedBy(this.#hasHeard ? 'stall' : 'first_byte_timeout', status('UNAVAILABLE', words)));
  }
}
