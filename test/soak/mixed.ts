import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type FakeLlm, startFakeLlm } from '../support/fake-llm.ts';
import { freePort } from '../support/ports.ts';

/**
 * Mixed traffic at one proxy for as long as is asked: answers at once, streams, uploads, errors, faults upstream, clients
 * that leave at any moment, an edit each five seconds. Prints what the proxy holds, and whether that grows.
 *   node test/soak/mixed.ts [--minutes 60] [--rate 60]
 */
const { values } = parseArgs({ options: { minutes: { type: 'string' }, rate: { type: 'string' } } });
const MINUTES = Number(values.minutes ?? 60);
const RATE = Number(values.rate ?? 60);
const SAMPLE_MS = Math.min(30_000, (MINUTES * 60_000) / 20);
const EDIT_MS = 5_000;

interface Sample {
  readonly minutes: number;
  readonly residentMb: number;
  readonly descriptors: number;
  readonly inFlight: number;
}

const fakes = await Promise.all(['a', 'b', 'c'].map((name) => startFakeLlm({ name })));
const folder = mkdtempSync(join(tmpdir(), 'sluice-soak-'));
const [http, admin] = [await freePort(), await freePort()];
publish(0);
const child = spawn(
  process.execPath,
  [
    ...['proxy/main.ts', '--config-dir', folder, '--allow-upstream', '127.0.0.0/8'],
    ...[
      '--http-address',
      `127.0.0.1:${http}`,
      '--admin-address',
      `127.0.0.1:${admin}`,
      '--grpc-address',
      '127.0.0.1:0',
    ],
  ],
  {
    stdio: ['ignore', 'ignore', openSync(join(folder, 'access.log'), 'w')],
    env: { ...process.env, MALLOC_ARENA_MAX: '2' },
  },
);
while (!(await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined))?.ok) await pause(100);

const counts = new Map<string, number>();
const samples: Sample[] = [];
const startedAt = performance.now();
const edits = setInterval(() => publish(Math.floor(performance.now() / EDIT_MS)), EDIT_MS);
const sampling = setInterval(() => void sample(), SAMPLE_MS);
for (let n = 0; performance.now() - startedAt < MINUTES * 60_000; n += 1) {
  const dueIn = startedAt + (n * 1000) / RATE - performance.now();
  if (dueIn > 0) await pause(dueIn);
  void call(n);
}
clearInterval(edits);
clearInterval(sampling);
await pause(5_000);
const last = await sample();
child.kill('SIGTERM');
await new Promise((resolve) => child.once('exit', resolve));
for (const fake of fakes) await fake.stop();
rmSync(folder, { recursive: true });

process.stdout.write(`\n${[...counts].map(([what, count]) => `${what} ${count}`).join(', ')}\n`);
const meanOf = (part: readonly Sample[]): number =>
  part.reduce((sum, { residentMb }) => sum + residentMb, 0) / part.length;
const quarter = Math.floor(samples.length / 4);
const [early, late] = [meanOf(samples.slice(quarter, 2 * quarter)), meanOf(samples.slice(-quarter))];
const isFlat = late <= early * 1.1 && last.inFlight === 0;
process.stdout.write(
  `second quarter ${early.toFixed(0)} MB, last quarter ${late.toFixed(0)} MB, in flight at the end ${last.inFlight}: ${isFlat ? 'flat' : 'NOT FLAT'}\n`,
);
process.exit(isFlat ? 0 : 1);

/** Weights change with each edit, and every third one is without a backend. */
function publish(edit: number): void {
  const backends = (fakes as FakeLlm[]).map(({ name, url }, index) => ({
    ...{ name, url: `${url}/v1`, weight: 1 + ((edit + index) % 5), tier: index === 2 ? 1 : 0, maxConcurrent: 64 },
  }));
  const pool = {
    ...{ format: 1, kind: 'LLMPool', namespace: 'soak', name: 'chat', models: ['chat'], firstModel: 'chat' },
    backends: edit % 3 === 0 ? backends : backends.slice(1),
    ...{
      affinity: { header: 'x-session-id' },
      ejection: { failureMs: 200, rateLimitedMs: 200 },
      timeouts: { idleMs: 2_000 },
    },
    healthCheck: { path: 'models', intervalMs: 2_000 },
    limits: { perClient: { requestsPerMinute: 1_000_000, tokensPerMinute: 1_000_000 } },
  };
  writeFileSync(join(folder, 'chat.new'), JSON.stringify(pool));
  renameSync(join(folder, 'chat.new'), join(folder, 'chat.json'));
}

async function call(n: number): Promise<void> {
  const dice = Math.random();
  const leaving = Math.random() < 0.25 ? AbortSignal.timeout(Math.floor(Math.random() * 400)) : undefined;
  const headers: Record<string, string> = {
    authorization: `Bearer key-${n % 5_000}`,
    'x-session-id': `s${n % 20_000}`,
  };
  const fault = faultOf(Math.random());
  if (fault !== undefined) headers['x-fake'] = JSON.stringify(fault);
  const json = { 'content-type': 'application/json' };
  const messages = [{ role: 'user', content: 'x'.repeat(Math.random() * 4_000) }];
  const base = { method: 'POST', ...(leaving !== undefined && { signal: leaving }) };
  const url = `http://127.0.0.1:${http}/v1`;
  const sent = (): Promise<Response> => {
    if (dice < 0.45)
      return fetch(`${url}/chat/completions`, {
        ...base,
        headers: { ...headers, ...json },
        body: JSON.stringify({ model: 'chat', messages }),
      });
    if (dice < 0.8)
      return fetch(`${url}/chat/completions`, {
        ...base,
        headers: { ...headers, ...json },
        body: JSON.stringify({ model: 'chat', messages, stream: true }),
      });
    if (dice < 0.9)
      return fetch(`${url}/embeddings`, {
        ...base,
        headers: { ...headers, ...json },
        body: JSON.stringify({ model: 'chat', input: ['a', 'b'] }),
      });
    if (dice < 0.95) return fetch(`${url}/audio/transcriptions`, { ...base, headers, body: upload() });
    return fetch(`${url}/chat/completions`, {
      ...base,
      headers: { ...headers, ...json },
      body: dice < 0.97 ? '{"model":' : `{"model":"none-${n}"}`,
    });
  };
  let what: string;
  try {
    const response = await sent();
    await response.arrayBuffer();
    what = String(response.status);
  } catch {
    what = leaving?.aborted === true ? 'left' : 'cut';
  }
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

function faultOf(dice: number): object | undefined {
  if (dice < 0.03) return { status: 500 };
  if (dice < 0.04) return { status: 429 };
  if (dice < 0.06) return { cutAfterChunks: 1 };
  if (dice < 0.07) return { stallAfterChunks: 1 };
  if (dice < 0.08) return { garbage: true };
  return dice < 0.5 ? { delayMs: dice * 600, chunks: 20, intervalMs: 20 } : undefined;
}

function upload(): FormData {
  const form = new FormData();
  form.set('model', 'chat');
  form.set('file', new Blob([new Uint8Array(500_000)]), 'a.wav');
  return form;
}

async function sample(): Promise<Sample> {
  const pools = (await (await fetch(`http://127.0.0.1:${admin}/pools`)).json()) as { inFlight: number }[];
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const one = {
    minutes: (performance.now() - startedAt) / 60_000,
    residentMb: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024,
    descriptors: readdirSync(`/proc/${child.pid}/fd`).length,
    inFlight: pools.reduce((sum, { inFlight }) => sum + inFlight, 0),
  };
  samples.push(one);
  const { minutes, residentMb, descriptors, inFlight } = one;
  process.stdout.write(
    `${minutes.toFixed(1)} min  ${residentMb.toFixed(0)} MB  ${descriptors} descriptors  ${inFlight} in flight\n`,
  );
  return one;
}
