import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../support/ports.ts';
import { closedLoop } from './closed-loop.ts';
import { type Measured, measured, startPrinting } from './processes.ts';
import type { Row } from './row.ts';

const CONNECTIONS = 64;
const ROUNDS = 9;
const ROUND_MS = 2_000;

/** Unary calls of 1 KiB at 64 connections: throughput and CPU a call of the proxy over those of the floor. */
export async function unary(): Promise<Row[]> {
  const upstream = await startPrinting('test/bench/upstream.ts', ['1024']);
  const floor = await startPrinting('test/bench/floor.ts', [String(upstream.port)]);
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  const ours = await startProxyOn(folder, upstream.port);
  try {
    const rounds = [];
    await closedLoop(ours.port, CONNECTIONS, ROUND_MS, REQUEST);
    await closedLoop(floor.port, CONNECTIONS, ROUND_MS, REQUEST);
    for (let round = 0; round < ROUNDS; round += 1) {
      rounds.push({ ours: await measure(ours), floor: await measure(floor) });
    }
    return rowsOf(rounds, { ours: ours.residentMb(), floor: floor.residentMb() });
  } finally {
    await Promise.all([upstream.stop(), floor.stop(), ours.stop()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Round {
  readonly perSecond: number;
  readonly cpuMicros: number;
  readonly failed: number;
}

async function measure(proxy: Measured): Promise<Round> {
  const before = proxy.cpuSeconds();
  const { calls, failed, seconds } = await closedLoop(proxy.port, CONNECTIONS, ROUND_MS, REQUEST);
  return { perSecond: calls / seconds, cpuMicros: ((proxy.cpuSeconds() - before) * 1e6) / calls, failed };
}

function rowsOf(rounds: { ours: Round; floor: Round }[], residentMb: { ours: number; floor: number }): Row[] {
  const median = (read: (round: { ours: Round; floor: Round }) => number): number => {
    const sorted = rounds.map(read).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] as number;
  };
  const failed = rounds.reduce((sum, { ours, floor }) => sum + ours.failed + floor.failed, 0);
  if (failed > 0) throw new Error(`${failed} calls failed`);
  const throughput = median(({ ours, floor }) => ours.perSecond / floor.perSecond);
  const cpu = median(({ ours, floor }) => ours.cpuMicros / floor.cpuMicros);
  const memory = residentMb.ours / residentMb.floor;
  return [
    {
      what: `unary 1 KiB, ${CONNECTIONS} connections`,
      ours: median(({ ours }) => ours.perSecond),
      floor: median(({ floor }) => floor.perSecond),
      ...{ unit: 'calls/s', ratio: throughput, bar: '>= 0.88', holds: throughput >= 0.88 },
    },
    {
      what: 'CPU of the proxy a call',
      ours: median(({ ours }) => ours.cpuMicros),
      floor: median(({ floor }) => floor.cpuMicros),
      ...{ unit: 'us', ratio: cpu, bar: '', holds: true },
    },
    {
      what: 'resident memory after that load',
      ...residentMb,
      ...{ unit: 'MB', ratio: memory, bar: '<= 1.1', holds: memory <= 1.1 },
    },
  ];
}

const BODY = JSON.stringify({
  model: 'chat',
  messages: [{ role: 'user', content: 'x'.repeat(1024 - 60) }],
});

const REQUEST = Buffer.from(
  `POST /v1/chat/completions HTTP/1.1\r\nhost: sluice\r\ncontent-type: application/json\r\n` +
    `authorization: Bearer none\r\nuser-agent: bench\r\naccept: */*\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`,
);

/** The proxy as users start it, access log on, with one pool in a folder. */
async function startProxyOn(folder: string, upstreamPort: number): Promise<Measured> {
  const pool = {
    ...{ format: 1, kind: 'LLMPool', namespace: 'bench', name: 'chat', models: ['chat'], firstModel: 'chat' },
    backends: [{ name: 'one', url: `http://127.0.0.1:${upstreamPort}/v1` }],
  };
  writeFileSync(join(folder, 'chat.json'), JSON.stringify(pool));
  const [http, admin] = [await freePort(), await freePort()];
  const flags = {
    'config-dir': folder,
    'http-address': `127.0.0.1:${http}`,
    'grpc-address': '127.0.0.1:0',
    'admin-address': `127.0.0.1:${admin}`,
    'allow-upstream': '127.0.0.0/8',
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const log = openSync(join(folder, 'access.log'), 'w');
  // As the chart sets it.
  const env = { ...process.env, MALLOC_ARENA_MAX: '2' };
  const child = spawn(process.execPath, ['proxy/main.ts', ...args], { env, stdio: ['ignore', 'ignore', log] });
  for (;;) {
    const ready = await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined);
    if (ready?.ok) return measured(child, http);
  }
}
