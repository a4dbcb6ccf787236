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
  readonly messages?: readonly { readonly role: string }[];
  readonly tools?: readonly { readonly function?: { readonly name: string } }[];
}

const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 };
/** What it calls every tool with: not ASCII, and spaced as no JSON library would. */
export const TOOL_ARGUMENTS = '{ "city":  "Łódź" }';
/** What it says for every text: bytes of every value, which no text has. */
export const SPEECH = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 31) % 256));

/** The answer of a server named `name`: it says its name as content, and the model it was asked for as `model`. */
export function answerOf(name: string, models: readonly string[], asked: Asked): FakeAnswer {
  const path = asked.path.replace(/\?.*$/, '');
  const request = parsed(asked.body);
  const model = request.model ?? name;
  if (path.endsWith('/chat/completions')) return chat(name, model, request, asked.chunks);
  if (path.endsWith('/responses')) return response(name, model, request, asked.chunks);
  if (path.endsWith('/audio/speech')) return { contentType: 'audio/mpeg', parts: [SPEECH], streams: false };
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
  const tool = toolToCall(request);
  if (request.stream !== true) {
    const said = tool === undefined ? { content: name } : { content: null, tool_calls: [toolCall(tool)] };
    const message = { role: 'assistant', ...said, refusal: null };
    const choices = [{ index: 0, message, finish_reason: reasonToEnd(tool), logprobs: null }];
    return json({ ...head, object: 'chat.completion', choices, usage: USAGE });
  }
  const event = (rest: object) => `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', ...rest })}\n\n`;
  const delta = (content: object, finish_reason: string | null = null) =>
    event({ choices: [{ index: 0, delta: content, finish_reason }] });
  const usage = request.stream_options?.include_usage === true ? [event({ choices: [], usage: USAGE })] : [];
  const words = Array.from({ length: chunks }, (_, index) => ({ content: `${name} ${index} ` }));
  const said = (tool === undefined ? words : toolCallInPieces(tool)).map((content) => delta(content));
  const start = delta({ role: 'assistant', content: '' });
  const parts = [start, ...said, delta({}, reasonToEnd(tool)), ...usage, 'data: [DONE]\n\n'];
  return { contentType: 'text/event-stream', parts, streams: true };
}

/** Its name; none where no tool is there, or a tool has answered. */
function toolToCall({ tools, messages }: OpenAiRequest): string | undefined {
  return messages?.at(-1)?.role === 'tool' ? undefined : tools?.[0]?.function?.name;
}

function toolCall(name: string): object {
  return { id: 'call_1', type: 'function', function: { name, arguments: TOOL_ARGUMENTS } };
}

/** The deltas of a stream: first the name, then the arguments bit by bit. */
function toolCallInPieces(name: string): object[] {
  const first = { index: 0, id: 'call_1', type: 'function', function: { name, arguments: '' } };
  const pieces = TOOL_ARGUMENTS.match(/.{1,5}/g) ?? [];
  const rest = pieces.map((piece) => ({ index: 0, function: { arguments: piece } }));
  return [first, ...rest].map((call) => ({ tool_calls: [call] }));
}

function reasonToEnd(tool: string | undefined): string {
  return tool === undefined ? 'stop' : 'tool_calls';
}

/** Of the Responses API: its streams name their events and have no [DONE]. */
function response(name: string, model: string, request: OpenAiRequest, chunks: number): FakeAnswer {
  const texts = request.stream === true ? Array.from({ length: chunks }, (_, index) => `${name} ${index} `) : [name];
  const content = [{ type: 'output_text', text: texts.join(''), annotations: [] }];
  const message = { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content };
  const usage = {
    ...{ input_tokens: 3, output_tokens: 5, total_tokens: 8 },
    ...{ input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } },
  };
  const head = { id: 'resp_1', object: 'response', created_at: 1_700_000_000, model, tools: [], error: null };
  const whole = { ...head, status: 'completed', output: [message], usage };
  if (request.stream !== true) return json(whole);
  const item = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  const events = [
    { type: 'response.created', response: { ...head, status: 'in_progress', output: [] } },
    { type: 'response.output_item.added', output_index: 0, item: { ...message, status: 'in_progress', content: [] } },
    { type: 'response.content_part.added', ...item, part: { ...content[0], text: '' } },
    ...texts.map((delta) => ({ type: 'response.output_text.delta', ...item, delta, logprobs: [] })),
    { type: 'response.output_text.done', ...item, text: content[0]?.text, logprobs: [] },
    { type: 'response.content_part.done', ...item, part: content[0] },
    { type: 'response.output_item.done', output_index: 0, item: message },
    { type: 'response.completed', response: whole },
  ];
  const parts = events.map(
    (event, index) => `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number: index })}\n\n`,
  );
  return { contentType: 'text/event-stream', parts, streams: true };
}

/** What it embeds a text to: eight numbers from 0 to 1 that are exact in 32 bits. */
export function vectorOf(input: string): number[] {
  const bytes = createHash('sha256').update(input).digest().subarray(0, 8);
  return Array.from(Float32Array.from(bytes, (byte) => byte / 255));
}

function embeddings(model: string, request: OpenAiRequest): FakeAnswer {
  const inputs = typeof request.input === 'string' ? [request.input] : (request.input ?? ['']);
  const data = inputs.map((input, index) => {
    const vector = vectorOf(String(input));
    const bytes = () => Buffer.from(Float32Array.from(vector).buffer).toString('base64');
    return { object: 'embedding', index, embedding: request.encoding_format === 'base64' ? bytes() : vector };
  });
  return json({ object: 'list', model, data, usage: { prompt_tokens: 3, total_tokens: 3 } });
}
