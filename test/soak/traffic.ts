import type { Agent, Dispatcher } from 'undici';
import type { LoadCall } from '../support/open-loop.ts';

/** How often each kind of call is made, of a hundred. */
const SHARES: Readonly<Record<string, number>> = {
  ...{ unary: 30, stream: 22, conversation: 8, embeddings: 8, batch: 4, upload: 4, queued: 5 },
  ...{ abortedUnary: 4, abortedStream: 6, abortedUpload: 1, stalled: 1, flaky: 5, refused: 2 },
};
const MOST_MS = 300;
const UPLOAD_BYTES = 256 * 1024;

/** Mixed calls, well-behaved and not. One fails where it did not get what its kind must get. */
export function mixedCall(random: () => number): LoadCall {
  const kinds = Object.entries(SHARES).flatMap(([kind, share]) => Array<string>(share).fill(kind));
  return async (url, agent) => {
    const kind = kinds[Math.floor(random() * kinds.length)] ?? '';
    try {
      await CALLS[kind]?.({ url, agent, random });
    } catch (error) {
      throw new Error(`${kind}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}

interface Caller {
  readonly url: string;
  readonly agent: Agent;
  readonly random: () => number;
}

const CALLS: Readonly<Record<string, (caller: Caller) => Promise<void>>> = {
  unary: async (caller) => expectText(await chat(caller, 'chat', { delayMs: ms(caller) }), '"choices"'),
  stream: async (caller) => expectText(await chat(caller, 'chat', paced(caller), true), 'data: [DONE]'),
  conversation: async (caller) => expectText(await chat(caller, 'talk', paced(caller), true), 'data: [DONE]'),
  embeddings: async (caller) => expectText(await embed(caller, 'chat', 2), '"embedding"'),
  batch: async (caller) => expectText(await embed(caller, 'embed', 10), '"index":9'),
  upload: async (caller) => expectText(await upload(caller), '"sha256"'),
  queued: async (caller) => {
    const { statusCode, body } = await chat(caller, 'narrow', { delayMs: ms(caller) });
    await body.dump();
    if (statusCode !== 200 && statusCode !== 503) throw new Error(`status ${statusCode}`);
  },
  abortedUnary: (caller) => abort(caller, (signal) => chat(caller, 'narrow', { delayMs: MOST_MS }, false, signal)),
  abortedStream: (caller) => abort(caller, (signal) => chat(caller, 'chat', LONG, true, signal)),
  abortedUpload: (caller) => abort(caller, (signal) => upload(caller, signal)),
  stalled: (caller) => abort(caller, (signal) => chat(caller, 'chat', { body: LARGE }, false, signal), 10),
  flaky: async (caller) => {
    const fault = FAULTS[Math.floor(caller.random() * FAULTS.length)] ?? {};
    const { statusCode, body } = await chat(caller, 'flaky', fault, caller.random() < 0.5);
    // Cut in mid-answer on purpose, now and then.
    await body.dump().catch(() => undefined);
    if (statusCode === 500 && !('status' in fault)) throw new Error('status 500');
  },
  refused: async (caller) => {
    const isBroken = caller.random() < 0.5;
    const text = isBroken ? '{"model":' : `{"model":"nobody-${Math.floor(caller.random() * 20_000)}"}`;
    const { statusCode, body } = await post(caller, '/v1/chat/completions', text, {});
    await body.dump();
    if (statusCode !== (isBroken ? 400 : 404)) throw new Error(`status ${statusCode}`);
  },
};

const FAULTS = [
  {},
  { status: 500 },
  { status: 429, retryAfter: '1' },
  { status: 400 },
  { garbage: true },
  { closeBeforeHeaders: true },
  { cutAfterChunks: 2 },
  { cutAfterBytes: 10 },
  { stallAfterChunks: 3 },
  { delayMs: 1_000 },
  { body: '' },
];
const LONG = { chunks: 40, intervalMs: 20 };
const LARGE = JSON.stringify({ choices: [], pad: 'x'.repeat(4 * 1024) });

type Answer = Dispatcher.ResponseData;

function ms({ random }: Caller): number {
  return Math.floor(random() * MOST_MS);
}

function paced(caller: Caller): object {
  return { chunks: 5 + Math.floor(caller.random() * 30), intervalMs: 1 + Math.floor(caller.random() * 20) };
}

function chat(caller: Caller, model: string, fake: object, stream = false, signal?: AbortSignal): Promise<Answer> {
  const who = Math.floor(caller.random() * 20_000);
  const body = { model, stream, messages: [{ role: 'user', content: 'hello '.repeat(100) }] };
  const headers = {
    ...{ 'x-session-id': `conversation-${who}`, authorization: `Bearer key-${who}` },
    'x-fake': JSON.stringify(fake),
  };
  return post(caller, '/v1/chat/completions', JSON.stringify(body), { headers, signal });
}

function embed(caller: Caller, model: string, count: number): Promise<Answer> {
  const input = Array.from({ length: count }, (_, n) => `text ${n}`);
  return post(caller, '/v1/embeddings', JSON.stringify({ model, input }), {});
}

function upload(caller: Caller, signal?: AbortSignal): Promise<Answer> {
  const end = (text: string): Buffer => Buffer.from(text);
  const part = (rest: string): string => `--cut\r\ncontent-disposition: form-data; name=${rest}\r\n\r\n`;
  const body = Buffer.concat([
    end(`${part('"model"')}chat\r\n${part('"file"; filename="a.wav"')}`),
    Buffer.alloc(UPLOAD_BYTES, 7),
    end('\r\n--cut--\r\n'),
  ]);
  const headers = { 'content-type': 'multipart/form-data; boundary=cut' };
  return post(caller, '/v1/audio/transcriptions', body, { headers, signal });
}

function post(
  { url, agent }: Caller,
  path: string,
  body: string | Buffer,
  { headers, signal }: { headers?: Record<string, string>; signal?: AbortSignal | undefined },
): Promise<Answer> {
  return agent.request({
    ...{ origin: url, path, method: 'POST', body, signal: signal ?? null },
    headers: { 'content-type': 'application/json', ...headers },
  });
}

async function expectText({ statusCode, body }: Answer, text: string): Promise<void> {
  const all = await body.text();
  if (statusCode !== 200) throw new Error(`status ${statusCode}: ${all.slice(0, 200)}`);
  if (!all.includes(text)) throw new Error(`no ${text} in ${all.length} bytes`);
}

/** Leaves at any moment: before the answer, in the middle of it, or (with `times`) long after it began, all unread. */
async function abort({ random }: Caller, call: (signal: AbortSignal) => Promise<Answer>, times = 1): Promise<void> {
  const leaving = new AbortController();
  const timer = setTimeout(() => leaving.abort(), random() * MOST_MS * times);
  try {
    const { body } = await call(leaving.signal);
    if (times === 1) await body.dump();
    else await new Promise((resolve) => body.once('close', resolve).on('error', () => undefined));
  } catch (error) {
    if (!leaving.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
  }
}
