/** The calls that each SDK makes: `openai-calls.ts` says what they are, `openai_calls.py` says the same in Python. */
export type CallName =
  | 'chat'
  | 'stream'
  | 'tools'
  | 'tools_streamed'
  | 'vision'
  | 'completion'
  | 'embeddings'
  | 'transcription'
  | 'speech'
  | 'response'
  | 'response_streamed'
  | 'models'
  | 'model';

/** How a call is to be made. */
export interface Asking {
  /** The base URL, with /v1. */
  readonly url: string;
  /** Default: `any`. */
  readonly apiKey?: string;
  /** Of the SDK; default 0. */
  readonly maxRetries?: number;
  /** Of the SDK; default 20 s. */
  readonly timeoutMs?: number;
  /** Default: `chat`. */
  readonly model?: string;
  /** Further fields of the body. */
  readonly extra?: object;
  /** Of embeddings; default: what the SDK does by itself. */
  readonly format?: 'float' | 'base64';
  /** The image or the sound. */
  readonly base64?: string;
}

/** What came of a call. */
export interface Outcome {
  readonly value?: unknown;
  readonly error?: ErrorRaised;
  /** Of a stream, also of one that failed later. */
  readonly parts: readonly unknown[];
  /** The sha256 of each request's body, as the SDK gave it to its transport. */
  readonly sent: readonly string[];
  readonly tookMs: number;
}

/** What the SDK threw; null: it has no such field. */
export interface ErrorRaised {
  readonly class: string;
  readonly isApiError: boolean;
  readonly text: string;
  readonly status: number | null;
  readonly code: string | null;
  readonly type: string | null;
  readonly param: string | null;
  /** Of the body's `error`. */
  readonly message: string | null;
  readonly retryAfter: string | null;
  readonly requestId: string | null;
}

export interface Sdk<Call extends string = CallName> {
  readonly call: (name: Call, asking: Asking) => Promise<Outcome>;
  readonly stop: () => void;
}
