import { createHash } from 'node:crypto';

/** What a fake model server says to one call, before anything is done to it. */
export interface FakeAnswer {
  readonly contentType: string;
  /** The whole body of a unary answer, or the events of a stream one by one. */
  readonly parts: readonly string[] | readonly Buffer[];
  readonly streams: boolean;
}

export interface Asked {
  readonly path: string;
  readonly body: Buffer;
  readonly contentType: string;
  /** How many content events a stream has. */
  readonly chunks: number;
}

interface OpenAiRequest {
  readonly model?: string;
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly input?: string | readonly string[];
  readonly encoding_format?: string;
}

const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 };

/** The answer of a server named `name`: it says its name as content, and the model it was asked for as `model`. */
export function answerOf(name: string, models: readonly string[], asked: Asked): FakeAnswer {
  const path = asked.path.replace(/\?.*$/, '');
  const request = parsed(asked.body);
  const model = request.model ?? name;
  if (path.endsWith('/chat/completions')) return chat(name, model, request, asked.chunks);
  if (path.endsWith('/completions'))
    return json({
      id: 'cmpl-1',
      object: 'text_completion',
      model,
      choices: [{ index: 0, text: name, finish_reason: 'stop' }],
      usage: USAGE,
    });
  if (path.endsWith('/embeddings')) return embeddings(model, request);
  if (path.endsWith('/models')) return json({ object: 'list', data: models.map(modelEntry) });
  if (/\/models\/.+/.test(path)) return json(modelEntry(decodeURIComponent(path.split('/models/')[1] ?? '')));
  if (path.endsWith('/health')) return json({ status: 'ok' });
  return json({
    text: name,
    path: asked.path,
    bytes: asked.body.length,
    sha256: sha256(asked.body),
    contentType: asked.contentType,
  });
}

/** Lower-case hex, as the answer to an upload tells it. */
export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function parsed(body: Buffer): OpenAiRequest {
  try {
    return JSON.parse(body.toString()) as OpenAiRequest;
  } catch {
    return {};
  }
}

function json(value: unknown): FakeAnswer {
  return { contentType: 'application/json', parts: [JSON.stringify(value)], streams: false };
}

function modelEntry(id: string) {
  return { id, object: 'model', created: 1_700_000_000, owned_by: 'fake' };
}

function chat(name: string, model: string, request: OpenAiRequest, chunks: number): FakeAnswer {
  const head = { id: 'chatcmpl-1', created: 1_700_000_000, model, system_fingerprint: name };
  if (request.stream !== true) {
    const message = { role: 'assistant', content: name, refusal: null };
    const choices = [{ index: 0, message, finish_reason: 'stop', logprobs: null }];
    return json({ ...head, object: 'chat.completion', choices, usage: USAGE });
  }
  const event = (rest: object) => `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', ...rest })}\n\n`;
  const delta = (content: object, finish_reason: string | null = null) =>
    event({ choices: [{ index: 0, delta: content, finish_reason }] });
  const usage = request.stream_options?.include_usage === true ? [event({ choices: [], usage: USAGE })] : [];
  const words = Array.from({ length: chunks }, (_, index) => delta({ content: `${name} ${index} ` }));
  const parts = [delta({ role: 'assistant', content: '' }), ...words, delta({}, 'stop'), ...usage, 'data: [DONE]\n\n'];
  return { contentType: 'text/event-stream', parts, streams: true };
}

function embeddings(model: string, request: OpenAiRequest): FakeAnswer {
  const inputs = typeof request.input === 'string' ? [request.input] : (request.input ?? ['']);
  const data = inputs.map((input, index) => {
    const vector = Float32Array.from(
      createHash('sha256').update(String(input)).digest().subarray(0, 8),
      (byte) => byte / 255,
    );
    const embedding =
      request.encoding_format === 'base64' ? Buffer.from(vector.buffer).toString('base64') : Array.from(vector);
    return { object: 'embedding', index, embedding };
  });
  return json({ object: 'list', model, data, usage: { prompt_tokens: 3, total_tokens: 3 } });
}
