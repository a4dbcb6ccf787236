import { createHash } from 'node:crypto';
import OpenAI, { APIError, toFile } from 'openai';
import type { ChatCompletionMessageParam, ChatCompletionTool } from 'openai/resources';
import type { Asking, CallName, ErrorRaised, Outcome, Sdk } from './sdk.ts';

const WEATHER: ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'Weather of a city – now',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const QUESTION: ChatCompletionMessageParam[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Grüße – «hi» 👋' },
];

/** Makes one call with a client of its own; parts of a stream go into `parts` as they come. */
type Call = (client: OpenAI, asking: Asking, parts: unknown[]) => Promise<unknown>;

const CALLS: Readonly<Record<CallName, Call>> = {
  chat: async (client, { model = 'chat', extra }) => {
    const answer = await client.chat.completions.create({ model, messages: QUESTION, ...extra });
    return { ...answer, requestId: answer._request_id };
  },

  stream: async (client, _, parts) => {
    const body = { model: 'chat', messages: QUESTION, stream: true, stream_options: { include_usage: true } } as const;
    for await (const chunk of await client.chat.completions.create(body)) parts.push(chunk);
  },

  tools: async (client) => {
    const messages = [...QUESTION];
    const body = { model: 'chat', messages, tools: [WEATHER] };
    const asked = await client.chat.completions.create({ ...body, tool_choice: 'auto' });
    const choice = asked.choices[0];
    const call = choice?.message.tool_calls?.[0];
    if (call === undefined) throw new Error('no tool was called');
    messages.push(choice?.message as ChatCompletionMessageParam);
    messages.push({ role: 'tool', tool_call_id: call.id, content: '11 °C' });
    const answer = await client.chat.completions.create(body);
    return { reason: choice?.finish_reason, call, answer: answer.choices[0]?.message.content };
  },

  tools_streamed: async (client, _, parts) => {
    const events = client.chat.completions.stream({ model: 'chat', messages: QUESTION, tools: [WEATHER] });
    events.on('tool_calls.function.arguments.delta', (event) => parts.push(event.arguments_delta));
    const choice = (await events.finalChatCompletion()).choices[0];
    const call = choice?.message.tool_calls?.[0];
    if (call?.type !== 'function') throw new Error('no function was called');
    return { reason: choice?.finish_reason, name: call.function.name, arguments: call.function.arguments };
  },

  vision: (client, { base64 = '' }) => {
    const image_url = { url: `data:image/png;base64,${base64}`, detail: 'high' } as const;
    const content = [{ type: 'text', text: 'What is on it?' } as const, { type: 'image_url', image_url } as const];
    return client.chat.completions.create({ model: 'chat', messages: [{ role: 'user', content }] });
  },

  completion: (client) => client.completions.create({ model: 'chat', prompt: 'Once' }),

  embeddings: async (client, { format }) => {
    const body = { model: 'chat', input: ['a', 'ü'] };
    const answer = await client.embeddings.create(format === undefined ? body : { ...body, encoding_format: format });
    return answer.data.map(({ embedding }) => embedding);
  },

  transcription: async (client, { base64 = '' }) => {
    const file = await toFile(Buffer.from(base64, 'base64'), 'speech.wav', { type: 'audio/wav' });
    return (await client.audio.transcriptions.create({ model: 'chat', file, language: 'pl' })).text;
  },

  speech: async (client) => {
    const answer = await client.audio.speech.create({ model: 'chat', voice: 'alloy', input: 'Dzień dobry' });
    const sha256 = sha256Of(Buffer.from(await answer.arrayBuffer()));
    return { sha256, type: answer.headers.get('content-type') };
  },

  response: async (client) => {
    const answer = await client.responses.create({ model: 'chat', instructions: 'Be brief.', input: 'Grüße' });
    return { text: answer.output_text, status: answer.status, tokens: answer.usage?.total_tokens };
  },

  response_streamed: async (client, _, parts) => {
    const events = await client.responses.create({ model: 'chat', input: 'Grüße', stream: true });
    for await (const event of events) parts.push({ type: event.type, delta: 'delta' in event ? event.delta : '' });
  },

  models: async (client) => {
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    return ids;
  },

  model: async (client, { model = '' }) => (await client.models.retrieve(model)).id,
};

/** The SDK for Node, in this process. */
export function openNode(): Sdk {
  return { call: (name, asking) => outcomeOf(CALLS[name], asking), stop: () => undefined };
}

async function outcomeOf(call: Call, asking: Asking): Promise<Outcome> {
  const sent: string[] = [];
  const parts: unknown[] = [];
  const { url, apiKey = 'any', maxRetries = 0, timeoutMs = 20_000 } = asking;
  const client = new OpenAI({
    ...{ baseURL: url, apiKey, maxRetries, timeout: timeoutMs },
    fetch: (to, init) => {
      if (typeof init?.body === 'string') sent.push(sha256Of(init.body));
      return fetch(to, init);
    },
  });
  const before = performance.now();
  const end = () => ({ parts, sent, tookMs: performance.now() - before });
  try {
    const value = await call(client, asking, parts);
    return { value, ...end() };
  } catch (error) {
    return { error: described(error), ...end() };
  }
}

function described(error: unknown): ErrorRaised {
  const isApiError = error instanceof APIError;
  const api = isApiError ? error : undefined;
  const body = api?.error as { message?: string } | undefined;
  return {
    class: (error as Error).constructor.name,
    isApiError,
    text: String(error),
    status: api?.status ?? null,
    code: api?.code ?? null,
    type: api?.type ?? null,
    param: api?.param ?? null,
    message: body?.message ?? null,
    retryAfter: api?.headers?.get('retry-after') ?? null,
    requestId: api?.requestID ?? null,
  };
}

function sha256Of(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
