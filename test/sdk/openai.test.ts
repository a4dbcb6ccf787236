import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { backend, pool } from '../proxy/http/door.ts';
import { SPEECH, TOOL_ARGUMENTS, vectorOf } from '../support/fake-llm-answers.ts';
import type { Sdk } from './sdk.ts';
import { bodyOf, OPENAI_SDKS, served, sha256Of } from './served.ts';

const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 };
/** More than fits into one read of a socket, of every byte value. */
const FILE = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 256));

describe.each(OPENAI_SDKS)('the openai SDK for $language', ({ start }) => {
  let sdk: Sdk;
  beforeAll(() => {
    sdk = start();
  });
  afterAll(() => sdk.stop());

  test('[M-2] [P-17] chats, with any key', async () => {
    const { gpu, url } = await served();
    const { error, value, sent } = await sdk.call('chat', { url, apiKey: 'whatever-you-like' });
    expect(error).toBeUndefined();
    const message = { role: 'assistant', content: 'gpu', refusal: null };
    expect(value).toMatchObject({
      ...{ id: 'chatcmpl-1', object: 'chat.completion', model: 'chat', usage: USAGE },
      ...{ choices: [{ index: 0, finish_reason: 'stop', message }], requestId: expect.stringMatching(/\S{8,}/) },
    });
    expect(sent).toEqual([sha256Of(bodyOf(gpu))]);
    expect(JSON.parse(bodyOf(gpu)).messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Grüße – «hi» 👋' },
    ]);
    expect(gpu.calls[0]?.path).toBe('/v1/chat/completions');
    expect(JSON.stringify(gpu.calls[0]?.rawHeaders)).not.toContain('whatever-you-like');
  });

  test('[M-3] has its model renamed on the way up, and not one other byte of its body', async () => {
    const { gpu, url } = await served({ ofBackend: { model: 'llama-3-70b' } });
    const { value, sent } = await sdk.call('chat', { url, extra: { top_k: 40, hint: { model: 'chat' } } });
    expect(value).toMatchObject({ model: 'llama-3-70b' });
    const renamed = /("model":\s*)"llama-3-70b"/;
    expect(bodyOf(gpu)).toMatch(renamed);
    expect(JSON.parse(bodyOf(gpu))).toMatchObject({ top_k: 40, hint: { model: 'chat' } });
    expect(sent).toEqual([sha256Of(bodyOf(gpu).replace(renamed, '$1"chat"'))]);
  });

  test('[M-2] streams: each chunk, the reason it ended for, the usage', async () => {
    const { gpu, url } = await served();
    const { error, parts, sent } = await sdk.call('stream', { url });
    expect(error).toBeUndefined();
    const chunks = parts as { choices: { delta: { content?: string }; finish_reason: string | null }[] }[];
    expect(chunks.map(({ choices }) => choices[0]?.delta.content)).toEqual([
      ...['', 'gpu 0 ', 'gpu 1 ', 'gpu 2 '],
      ...[undefined, undefined],
    ]);
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: USAGE });
    expect(sent).toEqual([sha256Of(bodyOf(gpu))]);
  });

  test('calls a tool and sends what it said', async () => {
    const { gpu, url } = await served();
    const { error, value, sent } = await sdk.call('tools', { url });
    expect(error).toBeUndefined();
    const called = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: TOOL_ARGUMENTS } };
    expect(value).toEqual({ reason: 'tool_calls', call: called, answer: 'gpu' });
    expect(sent).toEqual([sha256Of(bodyOf(gpu, 0)), sha256Of(bodyOf(gpu, 1))]);
    const { messages, tools } = JSON.parse(bodyOf(gpu));
    expect(tools[0].function).toMatchObject({ name: 'weather', description: 'Weather of a city – now' });
    expect(messages.slice(-2)).toMatchObject([
      { role: 'assistant', tool_calls: [called] },
      { role: 'tool', tool_call_id: 'call_1', content: '11 °C' },
    ]);
  });

  test('puts the arguments of a streamed tool call together', async () => {
    const { url } = await served();
    const { error, value, parts } = await sdk.call('tools_streamed', { url });
    expect(error).toBeUndefined();
    expect(value).toEqual({ reason: 'tool_calls', name: 'weather', arguments: TOOL_ARGUMENTS });
    expect(parts.length).toBeGreaterThan(3);
    expect(parts.join('')).toBe(TOOL_ARGUMENTS);
  });

  test('shows an image: its parts reach the server byte for byte', async () => {
    const { gpu, url } = await served();
    const base64 = FILE.toString('base64');
    const { error, value, sent } = await sdk.call('vision', { url, base64 });
    expect(error).toBeUndefined();
    expect(value).toMatchObject({ choices: [{ message: { content: 'gpu' } }] });
    expect(sent).toEqual([sha256Of(bodyOf(gpu))]);
    expect(JSON.parse(bodyOf(gpu)).messages[0].content).toEqual([
      { type: 'text', text: 'What is on it?' },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${base64}`, detail: 'high' } },
    ]);
  });

  test('completes a prompt', async () => {
    const { url } = await served();
    const { error, value } = await sdk.call('completion', { url });
    expect(error).toBeUndefined();
    expect(value).toMatchObject({ object: 'text_completion', choices: [{ text: 'gpu' }], usage: USAGE });
  });

  test('[M-2] embeds: as floats, as base64, and as it does by itself', async () => {
    const { gpu, url } = await served();
    const vectors = ['a', 'ü'].map(vectorOf);
    const floats = await sdk.call('embeddings', { url, format: 'float' });
    expect(floats).toMatchObject({ value: vectors, sent: [sha256Of(bodyOf(gpu))] });
    const { value } = await sdk.call('embeddings', { url, format: 'base64' });
    const bytes = vectors.map((vector) => Buffer.from(Float32Array.from(vector).buffer).toString('base64'));
    expect(value).toEqual(bytes);
    expect(await sdk.call('embeddings', { url })).toMatchObject({ value: vectors });
    expect(gpu.calls.map(({ body }) => JSON.parse(String(body)).encoding_format)).toEqual([
      ...['float', 'base64'],
      'base64',
    ]);
  });

  test('uploads a sound to be transcribed, whole, with its model renamed', async () => {
    const { gpu, url } = await served({ ofBackend: { model: 'whisper-large-v3' } });
    const { error, value } = await sdk.call('transcription', { url, base64: FILE.toString('base64') });
    expect(error).toBeUndefined();
    expect(value).toBe('gpu');
    const { body, headers, path } = gpu.calls[0] ?? expect.fail('nothing arrived');
    expect(path).toBe('/v1/audio/transcriptions');
    const type = headers['content-type'] ?? '';
    const form = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData();
    expect([form.get('model'), form.get('language')]).toEqual(['whisper-large-v3', 'pl']);
    const file = form.get('file') as File;
    expect([file.name, file.type]).toEqual(['speech.wav', 'audio/wav']);
    expect(Buffer.from(await file.arrayBuffer()).equals(FILE)).toBe(true);
  });

  test('has speech made, and gets its bytes as they are', async () => {
    const { url } = await served();
    const { error, value } = await sdk.call('speech', { url });
    expect(error).toBeUndefined();
    expect(value).toEqual({ sha256: sha256Of(SPEECH), type: 'audio/mpeg' });
  });

  test('uses the Responses API, whole and streamed', async () => {
    const { gpu, url } = await served();
    const { error, value, sent } = await sdk.call('response', { url });
    expect(error).toBeUndefined();
    expect(value).toEqual({ text: 'gpu', status: 'completed', tokens: 8 });
    expect(sent).toEqual([sha256Of(bodyOf(gpu))]);
    const streamed = await sdk.call('response_streamed', { url });
    expect(streamed.error).toBeUndefined();
    const events = streamed.parts as { type: string; delta: string }[];
    expect(events[0]?.type).toBe('response.created');
    expect(events.at(-1)?.type).toBe('response.completed');
    expect(events.map(({ delta }) => delta).join('')).toBe('gpu 0 gpu 1 gpu 2 ');
  });

  test('lists the models, and asks for one, also by its long name', async () => {
    const { door, gpu, url } = await served();
    await door.put(pool('other', [backend(gpu)]));
    const { value } = await sdk.call('models', { url });
    expect(value).toEqual(expect.arrayContaining(['chat', 'other']));
    expect(await sdk.call('model', { url, model: 'other' })).toMatchObject({ value: 'other' });
    expect(await sdk.call('model', { url, model: 'ml/chat' })).toMatchObject({ value: 'ml/chat' });
    expect(await sdk.call('model', { url, model: 'nope' })).toMatchObject({
      error: { class: 'NotFoundError', status: 404, code: 'model_not_found' },
    });
    expect(gpu.calls).toHaveLength(0);
  });
});
