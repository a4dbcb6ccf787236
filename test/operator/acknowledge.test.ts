import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type KubeClient, openClient } from '../../kube/client.ts';
import { type Acknowledge, acknowledge } from '../../operator/acknowledge.ts';
import { ownerKey } from '../../proxy/config/schema.ts';
import { recordLog } from '../kube/recorded-log.ts';
import { type ApiServer, startApiServer } from '../support/apiserver.ts';
import { eventually } from '../support/eventually.ts';
import { type FakeProxy, startFakeProxy } from './config-reports.ts';
import { proxySlice } from './site.ts';

let api: ApiServer;
let client: KubeClient;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  api = await startApiServer();
  client = await openClient({ kubeconfig: api.kubeconfig, env: {} });
});
afterAll(async () => {
  await client?.close();
  await api?.stop();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function ready(id: string, port?: number): Promise<FakeProxy> {
  const proxy = await startFakeProxy({ id, ...(port !== undefined && { port }) });
  const slice = proxySlice(proxy.port, true);
  await api.apply(slice);
  ends.push(proxy.close, async () => api.call('DELETE', await api.pathOf(slice)));
  return proxy;
}

function hear(forgetAfterMs: number): Acknowledge {
  const proxyService = 'sluice-proxy-admin';
  const hearing = acknowledge({
    ...{ client, namespace: 'sluice', proxyService, log: recordLog(), forgetAfterMs },
    ...{ changed: () => undefined, proxiesChanged: () => undefined },
  });
  ends.push(hearing.stop);
  return hearing;
}
const whenKnown = ({ proxies }: Acknowledge, ...ids: string[]) =>
  eventually(`the proxies are ${ids.join()}`, () => proxies()?.join() === ids.join());

test('which proxies there are is not known before each ready one was heard', async () => {
  const chat = { kind: 'LLMPool', namespace: 'ml', name: 'chat' } as const;
  (await ready('b')).say({ ...chat, revision: 'a'.repeat(64), state: 'loaded', message: '' });
  const { port, close } = await ready('a');
  await close();
  const hearing = hear(60_000);
  await eventually('one is heard', () => hearing.words(ownerKey(chat)).some(({ report }) => report !== undefined));
  expect(hearing.proxies()).toBeUndefined();
  await ready('a', port);
  await whenKnown(hearing, 'a', 'b');
});

test('a ready proxy that cannot be heard is forgotten after a while, and known again when it is back', async () => {
  const away = await ready('a');
  await ready('b');
  const hearing = hear(50);
  await whenKnown(hearing, 'a', 'b');
  await away.close();
  await whenKnown(hearing, 'b');
  await ready('a', away.port);
  await whenKnown(hearing, 'a', 'b');
});

test('a ready proxy whose stream was cut is one of them for a while', async () => {
  const away = await ready('a');
  const other = await ready('b');
  const hearing = hear(60_000);
  await whenKnown(hearing, 'a', 'b');
  await away.close();
  other.rename('c');
  other.cut();
  await whenKnown(hearing, 'a', 'c');
});

test('where no ready proxy can be heard nothing is known of them', async () => {
  const only = await ready('a');
  const hearing = hear(50);
  await whenKnown(hearing, 'a');
  await only.close();
  await eventually('not known', () => hearing.proxies() === undefined);
});
