import { describe, expect, test } from 'vitest';
import { backend, chat, errorOf, fakes, openDoor, pool } from './door.ts';

const CHAT = '/v1/chat/completions';

describe('the model of a request', () => {
  test('[M-3] is a placeholder: the selected backend’s own model goes upstream, and not one other byte changes', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a, { model: 'llama-3-"70b"-ü' })]));
    const body = (model: string): string => `\n{ "model" : ${model},"n":1.0e1,"x":{"model":"chat"},"u":"\\u00fc" } `;
    expect((await door.post(CHAT, body('"\\u0063hat"'))).status).toBe(200);
    expect(a.calls[0]?.body.toString()).toBe(body('"llama-3-\\"70b\\"-ü"'));
  });

  test('[P-12] modelMap maps by requested name, unmapped names pass as they are, and proxy-gpt-4 means gpt-4', async () => {
    const [azure] = await fakes('azure');
    const door = await openDoor();
    const modelMap = { 'gpt-4': 'gpt-4-deployment-001', 'gpt-3.5-turbo': 'gpt-35-turbo-deployment' };
    const models = ['gpt-4', 'gpt-3.5-turbo', 'other'];
    await door.put(pool('chat', [backend(azure, { modelMap })], { models }));
    for (const model of ['gpt-4', 'proxy-gpt-4', 'proxy-gpt-3.5-turbo', 'other', 'proxy-other']) {
      expect((await door.post(CHAT, chat(model))).status).toBe(200);
    }
    expect(azure.calls.map(({ body }) => JSON.parse(body.toString()).model)).toEqual([
      ...['gpt-4-deployment-001', 'gpt-4-deployment-001', 'gpt-35-turbo-deployment', 'other', 'other'],
    ]);
  });

  test('[V-4] goes with the request to a base url that carries /v1, images and all', async () => {
    const [vlm] = await fakes('vlm');
    const door = await openDoor();
    await door.put(pool('vlm_model', [backend(vlm)]));
    const image = `data:image/png;base64,${Buffer.alloc(300_000, 7).toString('base64')}`;
    const content = [
      { type: 'text', text: 'tags?' },
      { type: 'image_url', image_url: { url: image } },
    ];
    const body = JSON.stringify({ messages: [{ role: 'user', content }], model: 'vlm_model' });
    expect((await door.post(CHAT, body)).status).toBe(200);
    expect(vlm.calls[0]).toMatchObject({ path: '/v1/chat/completions' });
    expect(vlm.calls[0]?.body.toString() === body).toBe(true);
  });

  test('modelMap wins over model, also for a name that only stood with proxy- before it', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(
      pool('chat', [backend(a, { model: 'own', modelMap: { chat: 'mapped' } })], { models: ['chat', 'b'] }),
    );
    for (const model of ['chat', 'proxy-chat', 'b']) await door.post(CHAT, chat(model));
    expect(a.calls.map(({ body }) => JSON.parse(body.toString()).model)).toEqual(['mapped', 'mapped', 'own']);
  });

  test('namespace/name beats a name beats the catch-all, and asks the backend for the pool’s first model', async () => {
    const [a, b, c] = await fakes('a', 'b', 'c');
    const door = await openDoor();
    await door.put(
      pool('one', [backend(a)], { models: ['ml/two', 'proxy-x'], firstModel: 'first-of-one' }),
      pool('two', [backend(b)], { models: ['two', 'x'], firstModel: 'first-of-two' }),
      pool('rest', [backend(c)], { models: ['*'], firstModel: 'rest' }),
    );
    const answers: string[] = [];
    for (const model of ['ml/two', 'two', 'proxy-x', 'ml/one', 'proxy-ml/one', 'anything', 'proxy-anything']) {
      const answer = (await (await door.post(CHAT, chat(model))).json()) as {
        system_fingerprint: string;
        model: string;
      };
      answers.push(`${answer.system_fingerprint}: ${answer.model}`);
    }
    expect(answers).toEqual([
      ...['b: first-of-two', 'b: two', 'a: proxy-x', 'a: first-of-one', 'a: first-of-one'],
      ...['c: anything', 'c: anything'],
    ]);
  });

  test('that nobody serves is said in OpenAI’s words, with at most 1 KiB of it', async () => {
    const door = await openDoor();
    await door.put(pool('chat', []));
    const error = await errorOf(await door.post(CHAT, chat('gpt-5')));
    expect(error).toMatchObject({
      status: 404,
      code: 'model_not_found',
      type: 'invalid_request_error',
      param: 'model',
    });
    expect(error.message).toContain("'gpt-5'");
    expect((await errorOf(await door.post(CHAT, chat('ü'.repeat(9_000))))).message.length).toBeLessThan(1_300);
  });

  test.each(['__proto__', 'constructor', 'toString', ''])('named %j finds nothing it should not', async (model) => {
    const door = await openDoor();
    await door.put(pool('chat', []));
    const { status, code } = await errorOf(await door.post(CHAT, chat(model)));
    expect([status, code]).toEqual(model === '' ? [400, 'missing_model'] : [404, 'model_not_found']);
  });
});

describe('GET /v1/models', () => {
  test('lists every name that leads somewhere, once and sorted, but no catch-all', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(
      pool('one', [backend(a)], { models: ['b', 'a'] }),
      pool('nameless', [backend(a)], { models: [] }),
      pool('rest', [backend(a)], { models: ['*'] }),
    );
    const list = (await (await door.get('/v1/models')).json()) as { object: string; data: { id: string }[] };
    expect(list.object).toBe('list');
    expect(list.data.map(({ id }) => id)).toEqual(['a', 'b', 'ml/nameless']);
    expect(list.data[0]).toEqual({ id: 'a', object: 'model', created: 0, owned_by: 'sluice' });
  });

  test('gives one by its id, a slash in it plain or encoded', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('one', [backend(a)], { models: ['org/model'] }));
    for (const id of ['org/model', 'org%2Fmodel', 'ml/one', 'ml%2fone']) {
      const response = await door.get(`/v1/models/${id}`);
      expect(await response.json()).toMatchObject({ id: id.replace(/%2f/i, '/'), object: 'model' });
    }
    const error = await errorOf(await door.get('/v1/models/other'));
    expect(error).toMatchObject({ status: 404, code: 'model_not_found' });
  });
});
