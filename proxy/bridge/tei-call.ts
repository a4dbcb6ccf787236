import type { UpstreamEnd } from '../grpc/upstream-end.ts';

/** A request over HTTP as the one call of tei.v1 that it is: unary, or a stream where it has several inputs. */
export interface TeiCall {
  /** `/tei.v1.Embed/Embed` */
  readonly method: string;
  /** Messages that are sent; at least one. */
  readonly messages: number;
  /** The frame of the n-th message, made when it is sent. */
  readonly frame: (index: number) => Buffer;
  /** Whether each message has an answer of its own; else there is one for all of them. */
  readonly isOneToOne: boolean;
  /** A new one for each try: it counts what it is given. */
  readonly writer: Writer;
  /** In whose words an upstream's error is put. */
  readonly errors: 'openai' | 'tei';
  /** What the upstream called its end may mean another to HTTP; absent: it never does. */
  readonly judge?: (end: UpstreamEnd) => UpstreamEnd;
}

/** Makes the JSON body of an HTTP answer from answers in the order of their requests. */
export interface Writer {
  /** What this answer adds. @throws ERR_UPSTREAM_MALFORMED */
  readonly add: (message: Buffer) => string;
  /** What comes after the last. */
  readonly end: () => string;
}

/** A list with one item for each answer. */
export function listWriter(toJson: (message: Buffer) => string): Writer {
  let count = 0;
  return {
    add: (message) => {
      count += 1;
      return (count === 1 ? '[' : ',') + toJson(message);
    },
    end: () => ']',
  };
}

/** The one answer is all of it. */
export function wholeWriter(toJson: (message: Buffer) => string): Writer {
  return { add: toJson, end: () => '' };
}
