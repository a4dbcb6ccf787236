import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { endStep, limitStep } from '../alarm.ts';
import type { Endpoint, Timeouts } from '../pool.ts';
import type { Connection } from '../upstream/connections.ts';
import { isConnectionLoss, isRetried, type Outcome, outcomeOfError, outcomeOfStatus } from '../upstream/outcome.ts';
import type { Exchange } from './exchange.ts';
import { type Answer, Relay } from './relay.ts';

/** A body that can be sent once: what was held of it, then the rest as it comes. */
export interface StreamedBody {
  /** Whether a byte of it has been taken: from then on it cannot be sent again. */
  readonly started: () => boolean;
  /** Its length where the client gave one; without, it goes chunked. */
  readonly length: number | undefined;
  readonly open: () => Readable;
}

/** What goes to one endpoint. */
export interface UpstreamRequest {
  readonly endpoint: Endpoint;
  readonly method: string;
  readonly path: string;
  /** Flat: name, value, name, value. */
  readonly headers: string[];
  readonly body: Buffer | StreamedBody | undefined;
  readonly timeouts: Timeouts;
}

/**
 * `answered`: the client has an answer, whole, or cut after its first byte. `failed`: no byte has gone out, another
 * endpoint may do better; `answer` is what the upstream said, where that may be passed on. `ended`: the call is over.
 */
export type AttemptResult =
  | { readonly kind: 'answered'; readonly outcome: Outcome }
  | {
      readonly kind: 'failed';
      readonly backend: string;
      readonly outcome: Outcome;
      readonly message: string;
      readonly answer?: Answer;
    }
  | { readonly kind: 'ended'; readonly outcome: Outcome };

/** Answers of failed attempts are kept to be passed on when nothing better comes; larger ones are not. */
const MAX_HELD_ANSWER_BYTES = 256 * 1024;

/** Sends a request to one endpoint and relays its answer to the client, unless another endpoint should be asked. */
export function attempt(exchange: Exchange, request: UpstreamRequest): Promise<AttemptResult> {
  return new Promise((resolve) => {
    new Attempt(exchange, request, resolve).send(false);
  });
}

/** A dispatch handler has state over several callbacks and is made for each attempt: hence a class. */
class Attempt implements Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #request: UpstreamRequest;
  readonly #resolve: (result: AttemptResult) => void;
  readonly #relay: Relay;
  #controller: Dispatcher.DispatchController | undefined;
  #done = false;
  #answerBegan = false;
  #isFresh = false;
  #connection: Connection | undefined;
  /** It went out on a connection that was open before. */
  #isKept = false;
  #outcome: Outcome = 'success';
  #held: Buffer[] | undefined;
  #heldBytes = 0;
  #status = 0;
  #headers: IncomingHttpHeaders = {};

  constructor(exchange: Exchange, request: UpstreamRequest, resolve: (result: AttemptResult) => void) {
    this.#exchange = exchange;
    this.#request = request;
    this.#resolve = resolve;
    this.#relay = new Relay(exchange, (why) => this.#abandon(why));
    limitStep(exchange.alarm, request.timeouts.firstByteMs, () => this.#firstByteIsLate());
    exchange.call.undo = () => this.#end();
  }

  send(fresh: boolean): void {
    const { endpoint, method, path, headers, body, timeouts } = this.#request;
    const { connections } = endpoint.state;
    this.#isFresh = fresh;
    const isStreamed = body !== undefined && !Buffer.isBuffer(body);
    const options: Dispatcher.DispatchOptions = {
      method,
      path,
      headers: isStreamed ? withLength(headers, body.length) : headers,
      body: isStreamed ? body.open() : (body ?? null),
      bodyTimeout: timeouts.idleMs,
    };
    const connection = fresh ? connections.takeNew() : connections.take();
    this.#connection = connection;
    this.#isKept = connection.isOpen;
    try {
      connection.client.dispatch(options, this);
    } catch (error) {
      this.onResponseError(undefined, error as Error);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#done) controller.abort(new Error('the call ended'));
  }

  onResponseStarted(): void {
    this.#answerBegan = true;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
    this.#outcome = outcomeOfStatus(status);
    if (isRetried(this.#outcome)) this.#held = [];
    else this.#relay.begin(controller, status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#held === undefined) {
      if (!this.#relay.hasBytes) endStep(this.#exchange.alarm);
      this.#relay.data(chunk);
      return;
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes <= MAX_HELD_ANSWER_BYTES) return;
    this.#fail(this.#outcome, this.#describe(`answered ${this.#status}`));
    controller.abort(new Error('answer too large to hold'));
  }

  onResponseEnd(): void {
    this.#giveBack();
    if (this.#done) return;
    if (this.#held === undefined) {
      this.#relay.end();
      this.#finish({ kind: 'answered', outcome: this.#outcome });
      return;
    }
    const answer = { status: this.#status, headers: this.#headers, body: Buffer.concat(this.#held) };
    this.#fail(this.#outcome, this.#describe(`answered ${this.#status}`), answer);
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#giveBack();
    if (this.#done) return;
    if (this.#relay.hasBytes) {
      this.#relay.cut();
      this.#finish({ kind: 'answered', outcome: outcomeOfError(error) });
      return;
    }
    if (this.#mayGoFresh(error)) this.send(true);
    else this.#fail(outcomeOfError(error), this.#describe(error.message || error.name));
  }

  /** A kept connection that the server closed just as we wrote: the request was not seen, or can be repeated as new. */
  #mayGoFresh(error: Error): boolean {
    const { body } = this.#request;
    const repeatable = body === undefined || Buffer.isBuffer(body) || !body.started();
    return this.#isKept && repeatable && !this.#isFresh && !this.#answerBegan && isConnectionLoss(error);
  }

  /** undici says once of each dispatch that it is over, also of one that was aborted or never sent. */
  #giveBack(): void {
    if (this.#connection === undefined) return;
    this.#request.endpoint.state.connections.give(this.#connection);
    this.#connection = undefined;
  }

  #firstByteIsLate(): void {
    if (this.#done || this.#relay.hasBytes) return;
    const { firstByteMs } = this.#request.timeouts;
    this.#fail('timeout', this.#describe(`no first byte within ${firstByteMs} ms`));
    this.#controller?.abort(new Error('first byte timeout'));
  }

  /** The client's side is over: it left, or took nothing for too long. */
  #abandon(why: string): void {
    if (this.#done) return;
    this.#finish({ kind: 'ended', outcome: 'cancelled' });
    this.#controller?.abort(new Error(why));
  }

  #end(): void {
    if (this.#done) return;
    if (this.#relay.hasBytes) this.#relay.cut();
    const outcome = this.#exchange.call.ended === 'deadline' ? 'timeout' : 'cancelled';
    this.#finish({ kind: this.#relay.hasBytes ? 'answered' : 'ended', outcome });
    this.#controller?.abort(new Error('the call ended'));
  }

  #describe(what: string): string {
    return `${this.#request.endpoint.backend.name} (${this.#request.endpoint.address}): ${what}`;
  }

  #fail(outcome: Outcome, message: string, answer?: Answer): void {
    const failed = { kind: 'failed', backend: this.#request.endpoint.backend.name, outcome, message } as const;
    this.#finish(answer === undefined ? failed : { ...failed, answer });
  }

  #finish(result: AttemptResult): void {
    if (this.#done) return;
    this.#done = true;
    endStep(this.#exchange.alarm);
    this.#exchange.call.undo = undefined;
    this.#resolve(result);
  }
}

function withLength(headers: readonly string[], length: number | undefined): string[] {
  return length === undefined ? [...headers] : [...headers, 'content-length', String(length)];
}
