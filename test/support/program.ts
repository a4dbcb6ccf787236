import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from './eventually.ts';
import { freePort } from './ports.ts';
import { tie } from './reaper.ts';

const ROOT = join(import.meta.dirname, '../..');

export type LogLine = Readonly<Record<string, unknown>>;

/** One of Sluice's programs, running as a process of its own. */
export interface Program {
  readonly pid: number;
  /** http://127.0.0.1:PORT of the admin door. */
  readonly adminUrl: string;
  /** Its log so far, one object a line; a line that is no JSON is `{ text }`. */
  readonly log: readonly LogLine[];
  /** Resolves with its exit code when it ends, null after a signal it did not handle. */
  readonly exited: Promise<number | null>;
  /** Sends the signal (default SIGTERM) and gives the exit code. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | null>;
  /** Resident memory now. */
  readonly rssBytes: () => number;
}

export interface ServingProgram extends Program {
  /** http://127.0.0.1:PORT of the door for applications, without /v1. */
  readonly httpUrl: string;
}

export interface ProgramOptions {
  /** Flags besides the addresses. */
  readonly args?: readonly string[];
  /** Set besides PATH, HOME and what the chart sets: nothing else of this process's environment reaches the program. */
  readonly env?: Readonly<Record<string, string>>;
  /** Wait for: /readyz (default), /livez, or nothing. */
  readonly until?: 'ready' | 'live' | 'started';
  readonly nodeArgs?: readonly string[];
  /** Ports to use again, as after a restart; default: free ones. */
  readonly ports?: { readonly http: number; readonly admin: number };
}

export async function startOperator(options: ProgramOptions = {}): Promise<Program> {
  const admin = options.ports?.admin ?? (await freePort());
  return launch('operator/main.ts', [`--admin-address=127.0.0.1:${admin}`], admin, options);
}

export function startProxy(options: ProgramOptions = {}): Promise<ServingProgram> {
  return serve('proxy/main.ts', options);
}

/** `folders` follow the flags. */
export function startStandalone(folders: readonly string[], options: ProgramOptions = {}): Promise<ServingProgram> {
  return serve('standalone/main.ts', { ...options, args: [...(options.args ?? []), ...folders] });
}

async function serve(script: string, options: ProgramOptions): Promise<ServingProgram> {
  const [http, admin] = [options.ports?.http ?? (await freePort()), options.ports?.admin ?? (await freePort())];
  const addresses = [
    `--http-address=127.0.0.1:${http}`,
    `--admin-address=127.0.0.1:${admin}`,
    `--grpc-address=127.0.0.1:${await freePort()}`,
  ];
  const program = await launch(script, addresses, admin, options);
  return { ...program, httpUrl: `http://127.0.0.1:${http}` };
}

async function launch(
  script: string,
  addresses: string[],
  adminPort: number,
  options: ProgramOptions,
): Promise<Program> {
  const { args = [], env = {}, until = 'ready', nodeArgs = [] } = options;
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [...nodeArgs, join(ROOT, script), ...addresses, ...args], {
    // As the chart sets it.
    env: { PATH, HOME, MALLOC_ARENA_MAX: '2', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  tie(child);
  const log: LogLine[] = [];
  createInterface(child.stderr).on('line', (line) => log.push(parsed(line)));
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  const { pid } = child;
  if (pid === undefined) throw new Error(`${script} could not be started`);
  const program: Program = {
    ...{ pid, adminUrl, log, exited },
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return exited;
    },
    rssBytes: () => rssBytes(pid),
  };
  if (until !== 'started')
    await whenUp(script, program, until === 'ready' ? '/readyz' : '/livez', () => child.exitCode !== null);
  return program;
}

async function whenUp(script: string, program: Program, path: string, ended: () => boolean): Promise<void> {
  try {
    await eventually(`${script} ${path}`, async () => ended() || (await fetch(program.adminUrl + path)).ok, {
      timeoutMs: 30_000,
    });
    if (ended()) throw new Error(`${script} ended`);
  } catch (cause) {
    const tail = program.log.slice(-10).map((line) => JSON.stringify(line));
    await program.stop('SIGKILL');
    throw new Error(`${script} did not come up\n${tail.join('\n')}`, { cause });
  }
}

function parsed(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { text: line };
  }
}

/** Resident memory of a process, from /proc. */
function rssBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
