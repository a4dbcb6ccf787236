import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startFakeLlm } from '../support/fake-llm.ts';
import { type LogLine, type ServingProgram, startStandalone } from '../support/program.ts';
import { temporaryFolder } from '../support/reaper.ts';

/** A program that serves the pool `chat` of two servers, of which the first fails; it has served one call. */
async function afterOneCall(options: Parameters<typeof startStandalone>[1]): Promise<ServingProgram> {
  const servers = [await startFakeLlm({ name: 'a' }), await startFakeLlm({ name: 'b' })];
  servers[0]?.behave({ status: 500 });
  const dir = temporaryFolder('sluice-log-level');
  const backends = servers.map(({ name, url }) => `{name: ${name}, url: "${url}/v1"}`);
  const spec = `{strategy: Failover, models: [chat], healthCheck: {enabled: false}, backends: [${backends.join(', ')}]}`;
  const cr = `apiVersion: sluice.dev/v1alpha1\nkind: LLMPool\nmetadata: {name: chat, namespace: ml}\nspec: ${spec}\n`;
  await writeFile(join(dir, 'chat.yaml'), cr);
  const program = await startStandalone([dir], options);
  onTestFinished(async () => {
    await program.stop();
    for (const server of servers) await server.stop();
  });
  const body = JSON.stringify({ model: 'chat', messages: [] });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${program.httpUrl}/v1/chat/completions`, { method: 'POST', headers, body });
  expect([response.status, response.headers.get('x-sluice-backend')]).toEqual([200, 'b']);
  await response.text();
  return program;
}

const requestsIn = (log: readonly LogLine[]): LogLine[] => log.filter(({ msg }) => msg === 'request');

test.each([{ env: { SLUICE_LOG_LEVEL: 'debug' } }, { args: ['--log-level=info'] }])(
  '[P-15] [P-21] with %j each call’s way is a line: its pool, and each endpoint with its outcome and time',
  async (options) => {
    const program = await afterOneCall(options);
    await expect
      .poll(() => requestsIn(program.log))
      .toMatchObject([
        {
          ...{ level: 'info', pool: 'ml/chat', model: 'chat', status: 200, ms: expect.any(Number) },
          attempts: [
            { backend: 'a', outcome: 'server_error', ms: expect.any(Number) },
            { backend: 'b', outcome: 'success', ms: expect.any(Number) },
          ],
        },
      ]);
  },
);

test.each(['warn', 'error'])(
  '[P-15] [P-23] with --log-level=%s no call is a line; it is measured all the same',
  async (level) => {
    const program = await afterOneCall({ args: [`--log-level=${level}`] });
    const metrics = await (await fetch(`${program.adminUrl}/metrics`)).text();
    expect(metrics).toContain('sluice_attempts_total{pool="ml/chat",backend="a",outcome="server_error"} 1');
    expect(metrics).toContain('sluice_time_to_first_byte_seconds_count{pool="ml/chat"} 1');
    expect(await program.stop()).toBe(0);
    const levels = new Set(program.log.map((line) => line['level']));
    for (const lower of ['debug', 'info']) expect(levels).not.toContain(lower);
    expect(requestsIn(program.log)).toEqual([]);
  },
);
