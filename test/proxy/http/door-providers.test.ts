import { readFileSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { selfSigned } from '../../support/certificate.ts';
import { eventually } from '../../support/eventually.ts';
import { chat, type Door, errorOf, fakes, openDoor } from './door.ts';
import { withKey } from './door-credentials.ts';
import { serveResources } from './door-resources.ts';

const CHAT = '/v1/chat/completions';

/** The pool ml/chat with this spec, in YAML's flow style or its lines indented by two. */
function poolOf(spec: string): string {
  return `apiVersion: sluice.dev/v1alpha1\nkind: LLMPool\nmetadata: {name: chat, namespace: ml}\nspec:\n${spec}\n`;
}

function secretOf(values: Readonly<Record<string, string>>): string {
  return `---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: ml}\nstringData: ${JSON.stringify(values)}\n`;
}

async function servedBy(door: Door, calls: number, model = 'chat'): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let n = 0; n < calls; n += 1) {
    const response = await door.post(CHAT, chat(model));
    expect(response.status).toBe(200);
    await response.text();
    const name = response.headers.get('x-sluice-backend') ?? '';
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

describe('a provider', () => {
  test('[P-3] is a name of its own, a url, a key, a weight, a fallback or not, a map of models and a limit', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const spec = (second: string): string => `  models: [gpt-4, other]
  strategy: Weighted
  queue: {spillAfter: 50ms}
  backends:
  - name: first
    url: ${a.url}/v1
    weight: 2
    modelMap: {gpt-4: deployment-1}
    maxConcurrent: 1
    auth: {secretKeyRef: {name: keys, key: first}}
  - name: ${second}
    url: ${b.url}/v1
    tier: 1`;
    const keys = secretOf({ first: 'key-of-first' });
    await expect(serveResources(door, poolOf(spec('first')) + keys)).rejects.toThrow(/backends.*(first|unique|twice)/s);
    await serveResources(door, poolOf(spec('second')) + keys);
    expect(await servedBy(door, 2, 'gpt-4')).toEqual({ first: 2 });
    expect(await servedBy(door, 1, 'other')).toEqual({ first: 1 });
    const models = a.calls.map(({ body }) => (JSON.parse(body.toString()) as { model: string }).model);
    expect(models).toEqual(['deployment-1', 'deployment-1', 'other']);
    expect(a.calls[0]?.headers.authorization).toBe('Bearer key-of-first');
    a.behave({ delayMs: 300 });
    const both = await Promise.all([door.post(CHAT, chat('other')), door.post(CHAT, chat('other'))]);
    expect(both.map(({ headers }) => headers.get('x-sluice-backend')).sort()).toEqual(['first', 'second']);
    expect(b.calls[0]?.headers.authorization).toBeUndefined();
    expect((await door.pool()).endpoints).toMatchObject([
      { weight: 2, tier: 0 },
      { weight: 1, tier: 1 },
    ]);
  });

  test.each<[string, { auth?: string; path: string; more?: string }, Record<string, string | undefined>, string]>([
    [
      'OpenAI',
      { path: '/v1', auth: '{secretKeyRef: {name: keys, key: k}}' },
      { authorization: 'Bearer the-key' },
      '/v1',
    ],
    [
      'Azure OpenAI',
      {
        path: '/openai/deployments/gpt-4-deployment-001',
        auth: '{secretKeyRef: {name: keys, key: k}, header: api-key}',
        more: 'query: [{name: api-version, value: "2024-10-21"}]',
      },
      { 'api-key': 'the-key', authorization: undefined },
      '/openai/deployments/gpt-4-deployment-001',
    ],
    ['LiteLLM', { path: '', auth: '{secretKeyRef: {name: keys, key: k}}' }, { authorization: 'Bearer the-key' }, ''],
    [
      'Together AI, Anyscale',
      { path: '/v1', auth: '{secretKeyRef: {name: keys, key: k}}' },
      { authorization: 'Bearer the-key' },
      '/v1',
    ],
    ['Ollama, LM Studio, llama.cpp', { path: '/v1' }, { authorization: undefined, 'api-key': undefined }, '/v1'],
    [
      'any that wants headers of its own',
      {
        path: '/api/v1',
        auth: '{secretKeyRef: {name: keys, key: k}, header: x-api-key, scheme: Token}',
        more: 'headers: [{name: x-title, value: search}]',
      },
      { 'x-api-key': 'Token the-key', 'x-title': 'search', authorization: undefined },
      '/api/v1',
    ],
  ])(
    '[P-24] like %s is called at its path, with its key in its header',
    async (_, { path, auth, more }, headers, base) => {
      const [a] = await fakes('a');
      const door = await openDoor();
      const lines = [
        `url: ${a.url}${path}`,
        ...(auth === undefined ? [] : [`auth: ${auth}`]),
        ...(more === undefined ? [] : [more]),
      ];
      const spec = `  backends:\n  - name: it\n${lines.map((line) => `    ${line}`).join('\n')}`;
      await serveResources(door, poolOf(spec) + secretOf({ k: 'the-key' }));
      const response = await door.post(CHAT, chat(), withKey('of-the-client'));
      expect(response.status).toBe(200);
      const query = base.startsWith('/openai') ? '?api-version=2024-10-21' : '';
      expect(a.calls[0]?.path).toBe(`${base}/chat/completions${query}`);
      const got = a.calls[0]?.headers ?? {};
      for (const [name, value] of Object.entries(headers)) expect(got[name], name).toBe(value);
    },
  );

  test('[P-24] behind a certificate of its own is trusted by its CA, and not without it', async () => {
    const { cert, key } = selfSigned('llm.internal');
    const server = createTlsServer({ cert, key }, (req, res) => {
      req.resume().on('end', () => res.setHeader('content-type', 'application/json').end('{"ok":true}'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    const door = await openDoor();
    const spec = (tls: string): string => `  retry: {attempts: 1}\n  backends: [{name: it, url: "${url}"${tls}}]`;
    await serveResources(door, poolOf(spec('')));
    expect((await errorOf(await door.post(CHAT, chat()))).code).toBe('upstream_error');
    const tls = ', tls: {caSecretKeyRef: {name: keys, key: ca}, serverName: llm.internal}';
    await serveResources(door, poolOf(spec(tls)) + secretOf({ ca: cert }));
    expect((await door.post(CHAT, chat())).status).toBe(200);
  });
});

describe('a request', () => {
  test('[P-18] goes through its pool whatever else it says: proxy-MODEL is MODEL, and no field of its body is needed', async () => {
    const [a] = await fakes('a');
    const door = await openDoor();
    await serveResources(door, poolOf(`  models: [gpt-4]\n  backends: [{name: a, url: "${a.url}/v1"}]`));
    const bodies = [
      chat('gpt-4'),
      chat('proxy-gpt-4'),
      chat('gpt-4', { hulumanage_approach: 'proxy' }),
      chat('gpt-4', { extra_body: { hulumanage_approach: 'proxy', proxy_wrap: 'moa' } }),
    ];
    for (const body of bodies) {
      const response = await door.post(CHAT, body);
      expect([response.status, response.headers.get('x-sluice-pool')]).toEqual([200, 'ml/chat']);
    }
    expect(a.calls.map(({ body }) => JSON.parse(body.toString()))).toEqual(
      bodies.map((body) => ({ ...body, model: 'gpt-4' })),
    );
  });
});

describe('a pool that says nothing of it', () => {
  test('[P-4] is checked each 30 s at models below the base, and a check that hangs ends after 5 s', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 60_000 });
    const door = await openDoor();
    const spec = (check: string): string => `${check}  backends: [{name: a, url: "${a.url}/v1"}]`;
    const [plain] = await serveResources(door, poolOf(spec('')));
    const defaults = {
      path: 'models',
      intervalMs: 30_000,
      timeoutMs: 5_000,
      unhealthyThreshold: 2,
      healthyThreshold: 1,
    };
    expect(plain).toMatchObject({ healthCheck: defaults });
    const [first] = await serveResources(door, poolOf(spec('  healthCheck: {unhealthyThreshold: 1}\n')));
    expect(first).toMatchObject({ healthCheck: { ...defaults, unhealthyThreshold: 1 } });
    await expect
      .poll(() => a.calls.map(({ method, path }) => `${method} ${path}`), { timeout: 3_000 })
      .toEqual(['GET /v1/models']);
    const [check] = a.calls;
    await eventually('the check is given up', () => check?.cancelledAtMs);
    const took = (check?.cancelledAtMs ?? 0) - (check?.atMs ?? 0);
    expect(took).toBeGreaterThan(4_900);
    expect(took).toBeLessThan(5_500);
    const error = await eventually('it is unhealthy', async () => {
      const response = await door.post(CHAT, chat(), { signal: AbortSignal.timeout(500) });
      return response.status === 503 ? errorOf(response) : undefined;
    });
    // The next check is due 27 to 33 s after the beginning of the last.
    expect(Number(error.retryAfter)).toBeGreaterThanOrEqual(21);
    expect(Number(error.retryAfter)).toBeLessThanOrEqual(29);
    const [off] = await serveResources(door, poolOf(spec('  healthCheck: {enabled: false}\n')));
    expect(off).not.toHaveProperty('healthCheck');
    a.behave();
    expect(await servedBy(door, 1)).toEqual({ a: 1 });
  });

  test('[P-5] has 5 s to connect and 600 s for an answer; set to 1 s and 250 ms those hold', async () => {
    const [a] = await fakes('a');
    a.behave({ delayMs: 20_000 });
    const door = await openDoor();
    const backends = (url: string): string =>
      `  healthCheck: {enabled: false}\n  retry: {attempts: 1}\n  backends: [{name: a, url: "${url}"}]`;
    const [plain] = await serveResources(door, poolOf(backends(`${a.url}/v1`)));
    expect(plain).toMatchObject({ timeouts: { connectMs: 5_000, requestMs: 600_000 } });
    await serveResources(door, poolOf(`  timeouts: {connect: 1s, request: 250ms}\n${backends(`${a.url}/v1`)}`));
    const startedAt = performance.now();
    expect(await errorOf(await door.post(CHAT, chat()))).toMatchObject({ status: 504, code: 'timeout' });
    expect(performance.now() - startedAt).toBeLessThan(600);
    await expect.poll(() => a.open()).toBe(0);
    // TEST-NET-1: nothing answers there.
    await serveResources(door, poolOf(`  timeouts: {connect: 100ms}\n${backends('http://192.0.2.1:81/v1')}`));
    const connectAt = performance.now();
    expect(await errorOf(await door.post(CHAT, chat()))).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(performance.now() - connectAt).toBeLessThan(600);
  });
});

describe('a profile', () => {
  test('[P-22] for throughput: Weighted, checks each 60 s that may take 10 s', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const spec = `  strategy: Weighted\n  healthCheck: {interval: 60s, timeout: 10s}
  backends: [{name: a, url: "${a.url}/v1", weight: 3}, {name: b, url: "${b.url}/v1"}]`;
    const [document] = await serveResources(door, poolOf(spec));
    expect(document).toMatchObject({ healthCheck: { intervalMs: 60_000, timeoutMs: 10_000 } });
    expect(await servedBy(door, 8)).toEqual({ a: 6, b: 2 });
  });

  test('[P-22] for latency: Failover, checks each 10 s that may take 2 s; it leaves an endpoint that is too slow at once', async () => {
    const [a, b] = await fakes('a', 'b');
    const door = await openDoor();
    const spec = `  strategy: Failover\n  healthCheck: {interval: 10s, timeout: 2s}\n  timeouts: {firstByte: 100ms}
  backends: [{name: a, url: "${a.url}/v1"}, {name: b, url: "${b.url}/v1"}]`;
    const [document] = await serveResources(door, poolOf(spec));
    expect(document).toMatchObject({ healthCheck: { intervalMs: 10_000, timeoutMs: 2_000 } });
    expect(await servedBy(door, 5)).toEqual({ a: 5 });
    a.behave({ delayMs: 10_000 });
    expect(await servedBy(door, 2)).toEqual({ b: 2 });
  });

  test('[P-22] for cost: weight 10 to 1, or the dear one only as a fallback', async () => {
    const [cheap, dear] = await fakes('cheap', 'dear');
    const door = await openDoor();
    const backends = (ofCheap: string, ofDear: string): string =>
      `  backends: [{name: cheap, url: "${cheap.url}/v1", ${ofCheap}}, {name: dear, url: "${dear.url}/v1", ${ofDear}}]`;
    await serveResources(door, poolOf(backends('weight: 10', 'weight: 1')));
    expect(await servedBy(door, 22)).toEqual({ cheap: 20, dear: 2 });
    await serveResources(door, poolOf(backends('tier: 0', 'tier: 1')));
    expect(await servedBy(door, 10)).toEqual({ cheap: 10 });
    cheap.behave({ status: 429 });
    expect(await servedBy(door, 3)).toEqual({ dear: 3 });
  });

  test('[P-23] for a laptop: examples/local takes turns over what runs there, sends no checks, and falls back', async () => {
    const [ollama, studio] = await fakes('ollama', 'studio');
    const door = await openDoor();
    const env = { OLLAMA_URL: `${ollama.url}/v1`, LM_STUDIO_URL: `${studio.url}/v1` };
    const [document] = await serveResources(door, readFileSync('examples/local/local.yaml', 'utf8'), env);
    expect(document).toMatchObject({ strategy: 'RoundRobin' });
    expect(document).not.toHaveProperty('healthCheck');
    expect(await servedBy(door, 6, 'whatever')).toEqual({ ollama: 3, 'lm-studio': 3 });
    expect((document as { backends: { tier?: number }[] }).backends.map(({ tier = 0 }) => tier)).toEqual([0, 0, 1]);
    expect(ollama.calls.filter(({ method }) => method === 'GET')).toEqual([]);
  });

  test('[P-23] for production: examples/pool-with-fallback is 5 to 3 and a fallback, with checks 30/5', async () => {
    const [large, small, cloud] = await fakes('large', 'small', 'cloud');
    const door = await openDoor();
    const urls = (text: string): string =>
      text
        .replace(/service: \{name: vllm-large[^}]*\}/, `url: ${large.url}/v1`)
        .replace(/service: \{name: vllm-small[^}]*\}/, `url: ${small.url}/v1`)
        .replace('https://api.openai.com/v1', `${cloud.url}/v1`);
    const [document] = await serveResources(door, urls(readFileSync('examples/pool-with-fallback.yaml', 'utf8')));
    expect(document).toMatchObject({ healthCheck: { intervalMs: 30_000, timeoutMs: 5_000 } });
    expect(await servedBy(door, 16)).toEqual({ 'vllm-large': 10, 'vllm-small': 6 });
    for (const server of [large, small]) server.behave({ status: 429 });
    expect(await servedBy(door, 3)).toEqual({ cloud: 3 });
  });
});
