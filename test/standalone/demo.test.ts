import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/ports.ts';
import { tie } from '../support/reaper.ts';

let demo: ChildProcess;
let http: string;
const printed: string[] = [];

beforeAll(async () => {
  const [port, admin, grpc] = [await freePort(), await freePort(), await freePort()];
  http = `http://127.0.0.1:${port}`;
  const env = {
    ...process.env,
    SLUICE_HTTP_ADDRESS: `127.0.0.1:${port}`,
    SLUICE_ADMIN_ADDRESS: `127.0.0.1:${admin}`,
    SLUICE_GRPC_ADDRESS: `127.0.0.1:${grpc}`,
  };
  demo = spawn(process.execPath, ['examples/demo/run.ts'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  tie(demo);
  if (demo.stdout !== null) createInterface(demo.stdout).on('line', (line) => printed.push(line));
  await eventually('the demo says how to call it', () => printed.some((line) => line.includes('Ctrl-C')));
});
afterAll(() => demo?.kill('SIGKILL'));

async function post(path: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(http + path, { method: 'POST', headers, body: JSON.stringify(body) });
}

const chat = (stream: boolean) =>
  post('/v1/chat/completions', { model: 'chat', stream, messages: [{ role: 'user', content: 'hi' }] });

test('ten calls are answered 5 : 3 : 2, and each answer says by whom', async () => {
  const counts: Record<string, number> = {};
  for (let call = 0; call < 10; call++) {
    const { choices } = (await (await chat(false)).json()) as { choices: { message: { content: string } }[] };
    const [, name = '?'] = /^Hello from ([a-z]+)\. You said: hi$/.exec(choices[0]?.message.content ?? '') ?? [];
    counts[name] = (counts[name] ?? 0) + 1;
  }
  expect(counts).toEqual({ large: 5, medium: 3, small: 2 });
});

test('a stream comes in pieces and ends with [DONE]', async () => {
  const text = await (await chat(true)).text();
  expect(text.match(/"content":"Hello /g)).toHaveLength(1);
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
});

test('embeddings come from the pool and from the instance', async () => {
  const pooled = await post('/v1/embeddings', { model: 'words', input: ['a', 'b'] });
  expect(((await pooled.json()) as { data: unknown[] }).data).toHaveLength(2);
  const direct = await post('/instances/words/embed', { inputs: 'a' });
  expect(await direct.json()).toEqual([[0, 1, 0, 0, 0, 0, 0, 0]]);
});

test('it prints the addresses and the call as they are', async () => {
  const text = printed.join('\n');
  expect(text).toContain(`OpenAI API   ${http}/v1`);
  expect(text).toContain(`curl -s ${http}/v1/chat/completions`);
  expect(text).toContain('examples/demo/chat.yaml');
});

test('Ctrl-C ends everything', async () => {
  const exited = new Promise((resolve) => demo.once('close', resolve));
  demo.kill('SIGINT');
  expect(await exited).toBe(0);
  for (const url of [http, 'http://127.0.0.1:18101', 'http://127.0.0.1:18104']) {
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  }
});
