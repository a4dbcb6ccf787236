import { endWhole } from '../alarm.ts';
import { type Letter, postLater } from '../outbox.ts';
import type { Answer, Flow, Sink } from './attempt.ts';
import type { Exchange } from './exchange.ts';
import { headerOf } from './headers.ts';
import { sendAnswer } from './respond.ts';
import { isEventStream, responseHeaders } from './response-headers.ts';
import { awaitReader, STALLED_READER_MS } from './stalled-reader.ts';

/** Longer answers cost more to turn into a string than the second write costs. */
const SHORT_BYTES = 8 * 1024;

const DISCONNECTED = Buffer.from(
  'data: {"error":{"message":"The upstream connection was lost before the answer was complete",' +
    '"type":"server_error","param":null,"code":"upstream_disconnected"}}\n\n',
);

/**
 * Passes an answer to the client, bytes untouched. Chunks that arrive together leave together: what comes in one
 * turn of the event loop is gathered and written once, at its end (1.6 times the streams of one write per chunk).
 */
export class Relay implements Sink, Letter {
  readonly #exchange: Exchange;
  #flow: Flow | undefined;
  #status = 0;
  #headers: string[] = [];
  #isEventStream = false;
  #headSent = false;
  #over = false;
  #isCut = false;
  #isPosted = false;
  #pending: Buffer[] = [];
  #stallTimer: NodeJS.Timeout | undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  begin(flow: Flow, status: number, headers: string[]): void {
    this.#flow = flow;
    this.#status = status;
    this.#headers = headers;
    this.#isEventStream = isEventStream(headerOf(headers, 'content-type'));
    // `timeouts.request` covers a unary answer to its end, a stream to its first byte.
    if (this.#isEventStream) endWhole(this.#exchange.alarm);
    this.#exchange.isStream = this.#isEventStream;
  }

  data(chunk: Buffer): void {
    this.#pending.push(chunk);
    this.#postLater();
  }

  end(): void {
    this.#over = true;
    clearTimeout(this.#stallTimer);
    const { res } = this.#exchange;
    if (res.destroyed) return;
    this.#sendHead();
    this.#postLater();
  }

  /** What came in this turn, and the end where that came. */
  post(): void {
    this.#isPosted = false;
    const { res } = this.#exchange;
    if (res.destroyed || this.#isCut) return;
    if (!this.#over) {
      this.#flush();
      return;
    }
    const rest = this.#take();
    if (rest === undefined) res.end();
    // As a latin1 string, which keeps every byte, Node sends it in one piece with the head: a cheaper write.
    else if (rest.length <= SHORT_BYTES) res.end(rest.toString('latin1'), 'latin1');
    else res.end(rest);
    awaitReader(res);
  }

  pass(answer: Answer, retryAfterSeconds?: number): void {
    sendAnswer(this.#exchange, answer, retryAfterSeconds);
  }

  /** Never a clean end. An event stream says so in an event of its own. */
  cut(): void {
    if (this.#over) return;
    this.#over = true;
    this.#isCut = true;
    clearTimeout(this.#stallTimer);
    const { res } = this.#exchange;
    if (res.destroyed) return;
    this.#sendHead();
    const rest = this.#take();
    if (rest !== undefined) res.write(rest);
    // The cut may be in mid-event: a blank line ends that one.
    if (this.#isEventStream) res.write(Buffer.concat([Buffer.from('\n\n'), DISCONNECTED]));
    if (res.socket === null) res.destroy();
    else res.socket.destroySoon();
    awaitReader(res);
  }

  #postLater(): void {
    if (this.#isPosted) return;
    this.#isPosted = true;
    postLater(this);
  }

  #flush(): void {
    this.#sendHead();
    const bytes = this.#take();
    if (bytes === undefined || this.#exchange.res.write(bytes) || this.#stallTimer !== undefined) return;
    this.#flow?.pause();
    this.#stallTimer = setTimeout(() => this.#readerStalled(), STALLED_READER_MS);
    this.#exchange.res.once('drain', () => {
      clearTimeout(this.#stallTimer);
      this.#stallTimer = undefined;
      if (!this.#over) this.#flow?.resume();
    });
  }

  #readerStalled(): void {
    this.#over = true;
    this.#flow?.abandon();
    this.#exchange.res.destroy();
  }

  #sendHead(): void {
    if (this.#headSent) return;
    this.#headSent = true;
    this.#exchange.res.writeHead(this.#status, responseHeaders(this.#exchange, this.#headers, this.#isEventStream));
  }

  #take(): Buffer | undefined {
    const [first] = this.#pending;
    if (first === undefined) return undefined;
    const bytes = this.#pending.length === 1 ? first : Buffer.concat(this.#pending);
    this.#pending = [];
    return bytes;
  }
}
