import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../support/fake-llm-answers.ts';
import { backend, chat, fakes, httpPost, openDoor, pool, rawClient, rawServer } from './door.ts';

const CHAT = '/v1/chat/completions';

describe('a call that goes well', () => {
  test('[M-2] the OpenAI SDK chats, streams and embeds through it, as through OpenAI itself', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const client = new OpenAI({ baseURL: `${door.url}/v1`, apiKey: 'any' });
    const messages = [
      { role: 'system' as const, content: 'Be short' },
      { role: 'user' as const, content: 'Hi' },
    ];
    const answer = await client.chat.completions.create({ model: 'chat', messages });
    expect(answer.choices[0]?.message.content).toBe('a');
    expect(JSON.parse(a.calls[0]?.body.toString() ?? '')).toEqual({ model: 'chat', messages });

    const words: string[] = [];
    for await (const event of await client.chat.completions.create({ model: 'chat', messages, stream: true })) {
      words.push(event.choices[0]?.delta.content ?? '');
    }
    expect(words.join('')).toBe('a 0 a 1 a 2 ');

    const { data } = await client.embeddings.create({ model: 'chat', input: ['one', 'two'] });
    expect(data.map(({ embedding }) => embedding.length)).toEqual([8, 8]);
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['chat']);
  });

  test('bodies pass byte for byte both ways, whatever they hold', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const body = ' {"n" : 1.0e2, "text":"\\u00e9 ü 🙂", "model"\t:"chat","n2":12345678901234567890 }\n';
    const answer = '{"z": 1.50, "a": "ü 🙂",\n "z2": 12345678901234567890 } ';
    a.behave({ body: answer });
    const response = await door.post(CHAT, body);
    expect(await response.text()).toBe(answer);
    expect(a.calls[0]?.body.toString()).toBe(body);
    expect(a.calls[0]?.path).toBe(CHAT);
  });

  test('a large body and a large answer pass whole', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const text = 'x'.repeat(5_000_000);
    a.behave({ body: `"${text}"` });
    const body = JSON.stringify(chat('chat', { text }));
    const response = await door.post(CHAT, body);
    expect((await response.text()).length).toBe(text.length + 2);
    expect(sha256(a.calls[0]?.body ?? Buffer.alloc(0))).toBe(sha256(Buffer.from(body)));
  });

  test('a stream passes event by event: each is there before the server says the next', async () => {
    const answers: ((text: string) => void)[] = [];
    const server = await rawServer('a', (socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n');
        answers.push((text) => socket.write(`${text.length.toString(16)}\r\n${text}\r\n`));
      });
    });
    const door = await openDoor();
    await door.put(pool('chat', [backend(server)]));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat('chat', { stream: true })));
    await expect.poll(() => answers.length).toBe(1);
    for (const word of ['one', 'two', 'three']) {
      answers[0]?.(`data: ${word}\n\n`);
      await client.until(`data: ${word}\n\n`);
    }
    expect(client.seen()).toMatch(/x-accel-buffering: no/i);
    expect(client.seen()).not.toMatch(/content-length/i);
  });

  test('a reader that stops stops the server too, and its memory is not ours', async () => {
    let taken = 0;
    const event = Buffer.from(`data: ${'x'.repeat(65_529)}\n\n`);
    const server = await rawServer('a', (socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n');
        const pour = (): void => {
          while (taken < 400 << 20) {
            taken += event.length;
            if (!socket.write(event)) break;
          }
        };
        socket.on('drain', pour);
        pour();
      });
    });
    const door = await openDoor();
    await door.put(pool('chat', [backend(server)]));
    const client = await rawClient(door.port);
    client.send(httpPost(CHAT, chat('chat', { stream: true })));
    await client.until('data: x');
    client.socket.pause();
    let before = -1;
    await expect
      .poll(
        () => {
          const still = taken === before;
          before = taken;
          return still;
        },
        { interval: 200 },
      )
      .toBe(true);
    expect(taken).toBeLessThan(64 << 20);
    client.socket.resume();
    await expect.poll(() => taken).toBeGreaterThan(before);
  });

  test('embeddings, completions and paths that nobody thought of go to the same path below the base', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [{ name: 'a', url: `${a.url}/deep/base/v2` }]));
    for (const path of ['embeddings', 'completions', 'audio/speech', 'something/new']) {
      expect((await door.post(`/v1/${path}`, { model: 'chat' })).status).toBe(200);
    }
    expect(a.calls.map(({ path }) => path)).toEqual([
      '/deep/base/v2/embeddings',
      '/deep/base/v2/completions',
      '/deep/base/v2/audio/speech',
      '/deep/base/v2/something/new',
    ]);
  });

  test('[M-8] a base url with and one without a trailing slash lead to the same path', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    for (const url of [`${a.url}/v1`, `${a.url}/v1/`]) {
      await door.put(pool('chat', [{ name: 'a', url }]));
      expect((await door.post(CHAT, chat())).status).toBe(200);
    }
    expect(a.calls.map(({ path }) => path)).toEqual([CHAT, CHAT]);
  });

  test('the client’s query is kept, the backend’s added, and what the backend sets is not the client’s to set', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    const query = [
      { name: 'api-version', value: '2024-10-21' },
      { name: 'a b', value: 'c&d' },
    ];
    await door.put(pool('chat', [backend(a, { query })]));
    await door.post(`${CHAT}?x=1&x=%202&flag&api%2Dversion=evil&api-version=evil`, chat());
    expect(a.calls[0]?.path).toBe(`${CHAT}?x=1&x=%202&flag&api-version=2024-10-21&a%20b=c%26d`);
    await door.post(CHAT, chat());
    expect(a.calls[1]?.path).toBe(`${CHAT}?api-version=2024-10-21&a%20b=c%26d`);
  });

  test('many calls at once, and one after the other, use kept connections and get each its own answer', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await door.put(pool('chat', [backend(a)]));
    const ask = async (n: number): Promise<void> => {
      const response = await door.post('/v1/echo', { model: 'chat', pad: 'y'.repeat(n) });
      expect(((await response.json()) as { bytes: number }).bytes).toBe(
        JSON.stringify({ model: 'chat', pad: '' }).length + n,
      );
    };
    await Promise.all(Array.from({ length: 100 }, (_, n) => ask(n)));
    const opened = a.connections();
    for (let n = 0; n < 20; n += 1) await ask(n);
    expect(a.connections()).toBeLessThanOrEqual(opened);
    expect(await door.pool()).toMatchObject({ inFlight: 0, queue: { depth: 0 } });
  });
});
