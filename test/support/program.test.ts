import { expect, test } from 'vitest';
import { startProxy } from './program.ts';
import { temporaryFolder } from './reaper.ts';

test('a proxy on an empty folder becomes ready, and ends with 0', async () => {
  const proxy = await startProxy({ args: ['--config-dir', temporaryFolder()] });
  expect((await fetch(`${proxy.httpUrl}/v1/models`)).status).toBe(200);
  expect(proxy.rssBytes()).toBeGreaterThan(20 * 1024 ** 2);
  expect(await proxy.stop()).toBe(0);
  expect(proxy.log).toContainEqual(expect.objectContaining({ program: 'proxy', msg: 'listening' }));
});

test('a program that ends before it is ready fails with what it said', async () => {
  await expect(startProxy({ args: ['--nope'] })).rejects.toThrow('unknown flag --nope');
});
