import { readdirSync } from 'node:fs';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pool, poolPath, secret, whenStatus } from '../operator/site.ts';
import { eventually } from '../support/eventually.ts';
import { type FakeLlm, startFakeLlm } from '../support/fake-llm.ts';
import { FOREIGN } from '../support/foreign.ts';
import { machineAddress } from '../support/machine-address.ts';
import { startLoad } from '../support/open-loop.ts';
import { type Cluster, podOf, podStatus, startCentralProxy, startCluster } from './cluster.ts';

/** The main job, on an API server that carries a used cluster's load of other people's objects. */
let cluster: Cluster;
let models: Record<'a' | 'b' | 'c', FakeLlm>;

beforeAll(async () => {
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => startFakeLlm({ name })));
  models = { a, b, c } as typeof models;
  cluster = await startCluster({ foreign: FOREIGN });
}, 400_000);

afterAll(async () => {
  await cluster?.stop();
  await Promise.all(Object.values(models ?? {}).map((model) => model.stop()));
});

const backend = (name: 'a' | 'b' | 'c', more: object = {}): { name: string } => ({
  name,
  ...{ url: `${models[name].url}/v1`, ...more },
});

const programmed = (name: string): Promise<unknown> =>
  whenStatus(cluster.api, 'ml', name, ({ Programmed }) => Programmed === 'Programmed');

const clients = (): OpenAI[] =>
  cluster.urls.map((url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 }));

/** Who answers the next calls, made in turn through both proxies. */
async function answers(model: string, calls: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const [first, second] = clients() as [OpenAI, OpenAI];
  for (let call = 0; call < calls; call += 1) {
    const answer = await (call % 2 === 0 ? first : second).chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'hello' }],
    });
    const name = answer.choices[0]?.message.content ?? '';
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

describe('a pool that is applied', () => {
  test('[M-2] is called by the openai SDK: chat, streaming chat, embeddings', async () => {
    await cluster.api.apply(pool('ml', 'chat', { models: ['gpt-4o'], backends: [backend('a', { model: 'llama' })] }));
    await programmed('chat');
    for (const client of clients()) {
      const messages = [
        { role: 'system' as const, content: 'be brief' },
        { role: 'user' as const, content: 'hello' },
      ];
      const answer = await client.chat.completions.create({ model: 'gpt-4o', messages });
      expect(answer).toMatchObject({ model: 'llama', choices: [{ message: { content: 'a' } }] });

      let text = '';
      for await (const event of await client.chat.completions.create({ model: 'gpt-4o', messages, stream: true })) {
        text += event.choices[0]?.delta.content ?? '';
      }
      expect(text).toContain('a');

      const embeddings = await client.embeddings.create({ model: 'gpt-4o', input: ['one', 'two'] });
      expect(embeddings.data).toHaveLength(2);
      const names = (await client.models.list()).data.map(({ id }) => id);
      expect(names).toContain('gpt-4o');
    }
  });

  test('gets a new backend and new weights: the next calls follow', async () => {
    await cluster.api.apply(
      pool('ml', 'split', { backends: [backend('a', { weight: 3 }), backend('b', { weight: 1 })] }),
    );
    await programmed('split');
    expect(await answers('split', 16)).toEqual({ a: 12, b: 4 });

    await cluster.api.apply(
      pool('ml', 'split', { backends: [backend('a', { weight: 1 }), backend('b', { weight: 3 })] }),
    );
    await programmed('split');
    expect(await answers('split', 16)).toEqual({ a: 4, b: 12 });

    const three = [backend('a', { weight: 2 }), backend('b', { weight: 1 }), backend('c', { weight: 1 })];
    await cluster.api.apply(pool('ml', 'split', { backends: three }));
    await programmed('split');
    expect(await answers('split', 16)).toEqual({ a: 8, b: 4, c: 4 });
  });

  test('[M-9] follows a Secret: the key that its backends get is the new one', async () => {
    await cluster.api.apply(secret('ml', 'provider', { 'api-key': 'first-key' }));
    const auth = { secretKeyRef: { name: 'provider', key: 'api-key' } };
    await cluster.api.apply(pool('ml', 'keyed', { backends: [backend('b', { auth })] }));
    await programmed('keyed');
    const lastKey = (): string => models.b.calls.at(-1)?.headers.authorization ?? '';
    await answers('keyed', 2);
    expect(lastKey()).toBe('Bearer first-key');

    await cluster.api.apply(secret('ml', 'provider', { 'api-key': 'second-key' }));
    await eventually('both proxies use the new key', async () => {
      const before = models.b.calls.length;
      await answers('keyed', 2);
      const keys = models.b.calls.slice(before).map(({ headers }) => headers.authorization);
      return keys.every((key) => key === 'Bearer second-key');
    });
    const logs = JSON.stringify([cluster.operatorProgram.log, ...cluster.proxies.map(({ log }) => log)]);
    expect(logs).not.toMatch(/first-key|second-key/);
  });

  test('leaves out a pod that turns unready, and takes it back', async () => {
    const ip = machineAddress();
    const status = (name: string, ready: boolean): Promise<unknown> =>
      cluster.api.call(
        'PATCH',
        `/api/v1/namespaces/ml/pods/${name}/status`,
        podStatus(ip, ready),
        'application/merge-patch+json',
      );
    for (const name of ['a', 'b'] as const) {
      await cluster.api.apply(podOf('ml', `model-${name}`, { app: 'model' }, models[name].port));
      await status(`model-${name}`, true);
    }
    const selector = { matchLabels: { app: 'model' } };
    await cluster.api.apply(
      pool('ml', 'pods', { backends: [{ name: 'pods', pods: { selector, port: 'http', path: '/v1' } }] }),
    );
    await whenStatus(
      cluster.api,
      'ml',
      'pods',
      (reasons, { ready }) => ready === '2/2' && reasons['Ready'] === 'Ready',
    );
    await programmed('pods');
    await eventually('both pods are called', async () => Object.keys(await answers('pods', 4)).length === 2);

    await status('model-a', false);
    await eventually('only the ready pod is called', async () => (await answers('pods', 4))['a'] === undefined);
    await whenStatus(cluster.api, 'ml', 'pods', (_, { ready }) => ready === '1/2');

    await status('model-a', true);
    await eventually('both pods are called again', async () => Object.keys(await answers('pods', 4)).length === 2);
  });

  test('that is deleted is gone, and its models with it', async () => {
    await cluster.api.apply(pool('ml', 'gone', { backends: [backend('a')] }));
    await programmed('gone');
    await cluster.api.call('DELETE', poolPath('ml', 'gone'));
    await eventually('404 from both', async () => {
      const statuses = await Promise.all(
        cluster.urls.map(async (url) => (await fetch(`${url}/v1/models/gone`)).status),
      );
      return statuses.every((status) => status === 404);
    });
  });
});

describe('under load', () => {
  test('200 edits of weights and backends fail not one call', async () => {
    const edit = (n: number): object[] => [
      backend('a', { weight: 1 + (n % 5) }),
      backend('b', { weight: 1 + ((n * 3) % 7) }),
      ...(n % 2 === 0 ? [backend('c', { weight: 2 })] : []),
    ];
    await cluster.api.apply(pool('ml', 'edited', { backends: edit(0) }));
    await programmed('edited');
    const load = startLoad({ urls: cluster.urls, perSecond: 200, model: 'edited' });
    for (let n = 1; n <= 200; n += 1) {
      await cluster.api.apply(pool('ml', 'edited', { backends: edit(n) }));
    }
    await programmed('edited');
    const { made, failed, failures } = await load.stop();
    expect(failures).toEqual({});
    expect(failed).toBe(0);
    expect(made).toBeGreaterThan(400);
  }, 120_000);

  test('the API server restarts under load: no call fails, and the next edit is served', async () => {
    await cluster.api.apply(pool('ml', 'steady', { backends: [backend('a')] }));
    await programmed('steady');
    const load = startLoad({ urls: cluster.urls, perSecond: 100, model: 'steady' });
    await cluster.api.restart();
    await cluster.api.apply(pool('ml', 'steady', { backends: [backend('b')] }));
    await programmed('steady');
    expect(await answers('steady', 4)).toEqual({ b: 4 });
    const { failures } = await load.stop();
    expect(failures).toEqual({});
  }, 120_000);

  test('a proxy that restarts while the API server is away serves its last good documents', async () => {
    await cluster.api.apply(pool('ml', 'kept', { backends: [backend('c')] }));
    await programmed('kept');
    const [proxy, place] = [cluster.proxies[0], cluster.places[0]];
    if (proxy === undefined || place === undefined) throw new Error('no proxy');
    await eventually('the last good documents are on disk', () =>
      readdirSync(place.snapshotDir).includes('complete.json'),
    );
    await proxy.stop();
    await cluster.api.pause();
    const again = await startCentralProxy(place);
    const answer = await fetch(`${again.httpUrl}/v1/models/kept`);
    expect(answer.status).toBe(200);
    await cluster.api.restart();
    await eventually('the API is the source again', async () => {
      const { source } = (await (await fetch(`${again.adminUrl}/config`)).json()) as { source: string };
      return source === 'api';
    });
    await again.stop();
  }, 120_000);
});

test('memory before load is what was promised: a proxy 130 MB, the operator 200 MB', () => {
  const { operator, proxies } = cluster.restingMemory;
  const megabytes = (bytes: number): number => Math.round(bytes / 1024 ** 2);
  process.stdout.write(
    `resident before load: operator ${megabytes(operator)} MB, proxies ${proxies.map(megabytes)} MB\n`,
  );
  expect(megabytes(operator)).toBeLessThanOrEqual(200);
  for (const bytes of proxies) expect(megabytes(bytes)).toBeLessThanOrEqual(130);
});
