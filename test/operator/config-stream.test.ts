import { Agent } from 'undici';
import { afterEach, expect, test } from 'vitest';
import { followConfig } from '../../operator/config-stream.ts';
import type { ConfigReport } from '../../proxy/config/schema.ts';
import { recordLog } from '../kube/recorded-log.ts';
import { eventually } from '../support/eventually.ts';
import { type FakeProxyOptions, startFakeProxy } from './config-reports.ts';

const report: ConfigReport = {
  kind: 'LLMPool',
  namespace: 'ml',
  name: 'chat',
  revision: 'a'.repeat(64),
  state: 'loaded',
  message: '',
};
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function follow(options: FakeProxyOptions = {}) {
  const proxy = await startFakeProxy(options);
  const agent = new Agent();
  const log = recordLog();
  const heard: string[] = [];
  const { stop } = followConfig({
    origin: `http://127.0.0.1:${proxy.port}`,
    ...{ agent, log },
    opened: (id) => heard.push(id === undefined ? 'opened' : `opened ${id}`),
    report: ({ revision, state }) => heard.push(`${state} ${revision.slice(0, 1)}`),
    heard: () => heard.push('heard'),
    lost: () => heard.push('lost'),
    random: () => 0,
  });
  ends.push(
    () => proxy.close(),
    () => agent.destroy(),
    stop,
  );
  return { proxy, log, heard, stop };
}

const whenHeard = (heard: readonly string[], what: string) => eventually(what, () => heard.includes(what));

test('reports come as the proxy sends them, the first state before it counts as heard', async () => {
  const { proxy, heard } = await follow();
  await whenHeard(heard, 'heard');
  proxy.say(report);
  await whenHeard(heard, 'loaded a');
  proxy.cut();
  await eventually('reconnected', () => heard.filter((one) => one === 'heard').length === 2);
  expect(heard).toEqual(['opened', 'heard', 'loaded a', 'lost', 'opened', 'loaded a', 'heard']);
});

test('a report that comes in two pieces is one', async () => {
  const { proxy, heard } = await follow();
  await whenHeard(heard, 'heard');
  const text = JSON.stringify({ ...report, message: 'ü' });
  const bytes = Buffer.from(`${text}\n`);
  const middle = bytes.indexOf(0xc3) + 1;
  proxy.sayText(
    bytes
      .subarray(0, middle)
      .toString('latin1')
      .slice(0, middle - 1),
  );
  proxy.sayText(bytes.subarray(middle - 1).toString('utf8'));
  await whenHeard(heard, 'loaded a');
});

test.each(['not json\n', '{"kind":"Other"}\n', '[]\n', '{"kind":"LLMPool"}\n'])(
  'a line that is no report is passed over: %j',
  async (line) => {
    const { proxy, heard } = await follow();
    await whenHeard(heard, 'heard');
    proxy.sayText(line);
    proxy.say(report);
    await whenHeard(heard, 'loaded a');
  },
);

test('a proxy that never marks the end of its first state is heard after a second', async () => {
  const { heard } = await follow({ mute: true });
  await whenHeard(heard, 'heard');
  expect(heard).toEqual(['opened', 'heard']);
});

test('what the proxy calls itself is told, and nothing that is no such name', async () => {
  const { proxy, heard } = await follow({ id: 'one' });
  await whenHeard(heard, 'opened one');
  for (const name of ['has spaces', 'x'.repeat(65), '{"a":1}']) {
    proxy.rename(name);
    proxy.cut();
    heard.length = 0;
    await whenHeard(heard, 'heard');
    expect(heard.filter((one) => one.startsWith('opened'))).toEqual(['opened']);
  }
});

test('a line that never ends does not grow for ever', async () => {
  const { proxy, heard, log } = await follow();
  await whenHeard(heard, 'heard');
  const piece = 'x'.repeat(512 * 1024);
  for (let count = 0; count < 4; count++) proxy.sayText(piece);
  await eventually('a complaint', () => JSON.stringify(log.lines).includes('never ends'));
});

test('a proxy that answers with an error is asked again, and the log says what it was', async () => {
  const { heard, log } = await follow({ status: 503 });
  await eventually('two complaints', () => log.lines.length >= 2);
  expect(JSON.stringify(log.lines)).toContain('answered 503');
  expect(heard).toEqual([]);
});

test('after its stop nothing is heard and no connection is made', async () => {
  const { proxy, heard, stop } = await follow();
  await whenHeard(heard, 'heard');
  stop();
  await eventually('the stream ends', () => proxy.streams() === 0);
  const before = heard.length;
  proxy.say(report);
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard.length).toBe(before);
  expect(proxy.streams()).toBe(0);
});
