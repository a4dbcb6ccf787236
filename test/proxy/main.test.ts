import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { canonicalJson } from '../../proxy/config/encode.ts';
import { eventually } from '../support/eventually.ts';
import { type ServingProgram, startProxy } from '../support/program.ts';
import { temporaryFolder } from '../support/reaper.ts';
import { backend, chat, fakes, httpPost, pool, rawClient } from './http/door.ts';

const CHAT = '/v1/chat/completions';
const run = promisify(execFile);
const MAIN = new URL('../../proxy/main.ts', import.meta.url).pathname;

/** A proxy process that serves these documents from a folder. */
async function serving(
  documents: Record<string, unknown>[],
  args: string[] = [],
): Promise<ServingProgram & { dir: string }> {
  const dir = temporaryFolder('sluice-main');
  for (const [index, document] of documents.entries())
    writeFileSync(join(dir, `${index}.json`), canonicalJson(document));
  const flags = [`--config-dir=${dir}`, '--allow-upstream=127.0.0.0/8', ...args];
  const program = await startProxy({ args: flags });
  onTestFinished(async () => {
    await program.stop('SIGKILL');
  });
  return { ...program, dir };
}

async function post(program: ServingProgram, body: object): Promise<Response> {
  return fetch(program.httpUrl + CHAT, { method: 'POST', body: JSON.stringify(body) });
}

describe('node proxy/main.ts', () => {
  test('[M-11] on SIGTERM open calls end as they would, new ones are refused, and it exits 0', async () => {
    const [a] = await fakes('a');
    const program = await serving([pool('chat', [backend(a)])], ['--drain-timeout=20s']);
    const port = Number(new URL(program.httpUrl).port);
    a.behave({ delayMs: 700 });
    const unary = Array.from({ length: 10 }, () => post(program, chat()));
    await expect.poll(() => a.calls.length).toBe(10);
    a.behave({ chunks: 20, intervalMs: 50 });
    const stream = await rawClient(port);
    stream.send(httpPost(CHAT, chat('chat', { stream: true })));
    await stream.until('a 0 ');
    const idle = await rawClient(port);
    const before = performance.now();
    const exited = program.stop();
    await eventually('new calls are refused', () =>
      fetch(`${program.httpUrl}/v1/models`).then(
        () => false,
        () => true,
      ),
    );
    expect((await fetch(`${program.adminUrl}/readyz`)).status).toBe(503);
    for (const call of unary) expect((await call).status).toBe(200);
    const seen = await stream.closed;
    expect(seen).toContain('a 19 ');
    expect(seen).toContain('[DONE]');
    await idle.closed;
    expect(await exited).toBe(0);
    expect(performance.now() - before, 'kept and unused connections are not waited for').toBeLessThan(10_000);
    expect(a.open()).toBe(0);
  });

  test('what is still open at the end of the drain timeout is cut, and it exits 0 all the same', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 60_000 });
    const program = await serving([pool('chat', [backend(a)])], ['--drain-timeout=300ms']);
    const call = post(program, chat()).catch(() => 'cut');
    await expect.poll(() => a.calls.length).toBe(1);
    const before = performance.now();
    expect(await program.stop()).toBe(0);
    expect(performance.now() - before).toBeLessThan(3_000);
    expect(await call).toBe('cut');
  });

  test('a call that is open while it drains learns that its connection ends', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 300 });
    const program = await serving([pool('chat', [backend(a)])]);
    const client = await rawClient(Number(new URL(program.httpUrl).port));
    client.send(httpPost(CHAT, chat()));
    await expect.poll(() => a.calls.length).toBe(1);
    const exited = program.stop();
    expect(await client.closed).toMatch(/connection: close/i);
    expect(await exited).toBe(0);
  });

  test('a connection is told to close once it has reached --max-connection-age', async () => {
    const [a] = await fakes('a');
    const program = await serving([pool('chat', [backend(a)])], ['--max-connection-age=200ms']);
    const client = await rawClient(Number(new URL(program.httpUrl).port));
    const asking = setInterval(() => client.send(httpPost(CHAT, chat())), 30);
    const seen = await client.closed;
    clearInterval(asking);
    const answers = seen.split('HTTP/1.1 ').slice(1);
    expect(answers.length).toBeGreaterThan(1);
    expect(answers.every((answer) => answer.startsWith('200'))).toBe(true);
    expect(answers.filter((answer) => /connection: close/i.test(answer))).toHaveLength(1);
    expect(answers.at(-1)).toMatch(/connection: close/i);
  });

  test('loopback is refused as an upstream unless allowed, in words, and the pool is not served', async () => {
    const [a] = await fakes('a');
    const dir = temporaryFolder('sluice-main');
    writeFileSync(join(dir, 'chat.json'), canonicalJson(pool('chat', [backend(a)])));
    const program = await startProxy({ args: [`--config-dir=${dir}`] });
    expect((await post(program, chat())).status).toBe(404);
    const config = await (await fetch(`${program.adminUrl}/config`)).json();
    expect(config).toMatchObject({
      documents: [{ name: 'chat', state: 'rejected', message: expect.stringMatching(/loopback/) }],
    });
    expect(await program.stop()).toBe(0);
  });

  test.each([
    [[], 'proxy: give either --config-namespace or --config-dir'],
    [['--config-dir=/x', '--config-namespace=y'], 'proxy: give either --config-namespace or --config-dir'],
    [['--config-dir=/x', '--nonsense'], /^proxy: .*--nonsense/],
    [['--config-dir=/x', '--http-address=nowhere'], /^proxy: --http-address: "nowhere" /],
    [['--config-dir=/x', '--drain-timeout=5'], /^proxy: --drain-timeout: "5" /],
    [['--config-dir=/x', '--max-body-bytes=much'], /^proxy: --max-body-bytes: "much" /],
    [['--config-dir=/x', '--allow-upstream=10.0.0.0/99'], /^proxy: --allow-upstream: /],
    [['--config-dir=/x', '--tls-cert=/x'], 'proxy: --tls-cert and --tls-key go together'],
    [['--config-dir=/x', 'stray'], /^proxy: .*stray/],
  ])('%j ends with exit 2 and one line', async (args, line) => {
    const failed = (await run(process.execPath, [MAIN, ...args], { env: {} }).catch((error: unknown) => error)) as {
      code: number;
      stdout: string;
      stderr: string;
    };
    expect([failed.code, failed.stdout]).toEqual([2, '']);
    expect(failed.stderr.split('\n')).toHaveLength(2);
    expect(failed.stderr.trim()).toMatch(line);
  });

  test('a port that is taken is said in one line of the log, exit 1', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as { port: number };
    const args = [MAIN, '--config-dir=/x', `--http-address=127.0.0.1:${port}`, '--admin-address=127.0.0.1:0'];
    const failed = (await run(process.execPath, args, { env: {} }).catch((error: unknown) => error)) as {
      code: number;
      stderr: string;
    };
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/"msg":"the proxy cannot start"/);
    expect(failed.stderr).toContain(`EADDRINUSE`);
  });

  test('says its version and its flags', async () => {
    expect((await run(process.execPath, [MAIN, '--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const { stdout } = await run(process.execPath, [MAIN, '--help']);
    for (const flag of ['config-dir', 'http-address', 'max-connection-age', 'allow-upstream', 'tls-cert']) {
      expect(stdout).toContain(`--${flag}`);
    }
  });
});
