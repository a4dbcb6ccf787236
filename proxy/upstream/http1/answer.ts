import { AnswerBody } from './answer-body.ts';
import { type AnswerHead, parseHead } from './answer-head.ts';
import type { Call } from './call.ts';
import { malformed } from './client-error.ts';

const MAX_HEAD_BYTES = 16 * 1024;
const MAX_INTERIM_ANSWERS = 10;
const BEGINNING = 'HTTP/1.';

/** Makes answers of the bytes of one connection, one after the other, wherever reads have cut them apart. */
export class Answer {
  /** Its last byte was read. */
  isWhole = false;
  /** As far as the answer says, the connection may be used again. */
  isKept = false;
  /** For how long, where the answer says so. */
  keptSeconds: number | undefined;
  readonly #body = new AnswerBody();
  #isInBody = false;
  /** Of a head that is not complete yet. */
  #text = '';
  #interim = 0;

  begin(): void {
    this.isWhole = false;
    this.#isInBody = false;
    this.#interim = 0;
  }

  /** The connection's end is its end too. */
  get endsWithConnection(): boolean {
    return this.#isInBody && this.#body.endsWithConnection;
  }

  /**
   * Tells `call` what is in `bytes`, up to the answer's end; gives how many bytes were used.
   * @throws ERR_UPSTREAM_MALFORMED
   */
  read(bytes: Buffer, call: Call): number {
    const at = this.#isInBody ? 0 : this.#readHead(bytes, call);
    if (at === bytes.length || this.isWhole || call.isPaused || call.isOver) return at;
    return this.#readBody(bytes, at, call);
  }

  /**
   * What came in one read is told at once, however many chunks it came in: they are moved together, over the framing
   * between them. A burst of events costs whoever takes it one call, not one for each.
   */
  #readBody(bytes: Buffer, from: number, call: Call): number {
    let at = from;
    let start = 0;
    let end = 0;
    try {
      while (at < bytes.length && !this.isWhole) {
        at = this.#body.step(bytes, at);
        const { dataFrom } = this.#body;
        this.isWhole = this.#body.isWhole;
        if (end === 0) {
          start = dataFrom;
          end = at;
        } else if (at > dataFrom) {
          bytes.copyWithin(end, dataFrom, at);
          end += at - dataFrom;
        }
      }
    } finally {
      // Also what came before a broken chunk.
      if (end > start) call.incoming.onData(bytes.subarray(start, end));
    }
    return at;
  }

  #readHead(bytes: Buffer, call: Call): number {
    let at = 0;
    while (at < bytes.length) {
      const before = this.#text.length;
      const text = this.#text + bytes.toString('latin1', at, Math.min(bytes.length, at + MAX_HEAD_BYTES + 4));
      const end = text.indexOf('\r\n\r\n', Math.max(0, before - 3));
      if ((end < 0 ? text.length : end) > MAX_HEAD_BYTES) throw malformed('its head is too long');
      if (end < 0) {
        refuseEarly(text, before);
        this.#text = text;
        return bytes.length;
      }
      this.#text = '';
      at += end + 4 - before;
      const head = parseHead(text, end);
      if (head.status >= 200) {
        this.#begin(head, call);
        return at;
      }
      this.#interim += 1;
      if (head.status === 101 || this.#interim > MAX_INTERIM_ANSWERS)
        throw malformed('it switches protocols or never begins');
    }
    return at;
  }

  #begin({ status, headers, length, isChunked, isKept, keptSeconds }: AnswerHead, call: Call): void {
    const isBodiless = call.isHead || status === 204 || status === 304;
    this.#isInBody = true;
    this.#body.begin(isBodiless ? 0 : length, isChunked && !isBodiless);
    this.isWhole = this.#body.isWhole;
    // A 204 that speaks of a body may be about to send one, which the next call would take for its answer.
    const mayGoOn = status === 204 && (isChunked || (length ?? 0) > 0);
    this.isKept = isKept && !mayGoOn && !this.#body.endsWithConnection;
    this.keptSeconds = keptSeconds;
    call.incoming.onHead(status, headers);
  }
}

/** What can never become a head is refused before a server that waits for us to speak lets us wait too. */
function refuseEarly(text: string, from: number): void {
  if (text.slice(0, BEGINNING.length) !== BEGINNING.slice(0, text.length)) throw malformed('it is not HTTP/1');
  for (let at = text.indexOf('\n', from); at >= 0; at = text.indexOf('\n', at + 1)) {
    if (text.charCodeAt(at - 1) !== 13) throw malformed('a line of its head does not end with CRLF');
  }
}
