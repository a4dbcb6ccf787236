import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';

/** What a process holds, as `inside.ts` and /proc tell. */
export interface Held {
  readonly rssBytes: number;
  /** Of V8's heap. */
  readonly heapBytes: number;
  /** Open sockets, those that listen among them. */
  readonly sockets: number;
  /** What keeps its event loop alive, by kind: TCPSocketWrap, Timeout, … */
  readonly resources: Readonly<Record<string, number>>;
  /** Node's own: listeners that pile up, and the like. */
  readonly warnings: readonly string[];
}

/** How a program is started so that it can be looked into. */
export interface Window {
  readonly nodeArgs: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** `collected`: after a full collection of garbage (default). */
  readonly look: (pid: number, how?: { readonly collected: boolean }) => Promise<Held>;
}

/** `folder` takes the file by which the program tells. */
export function openWindow(folder: string, name: string): Window {
  const file = join(folder, `.inside-${name}`);
  writeFileSync(file, '');
  return {
    nodeArgs: ['--expose-gc', `--import=${new URL('./inside.ts', import.meta.url).pathname}`],
    env: { INSIDE_FILE: file },
    look: async (pid, { collected } = { collected: true }) => {
      const before = linesOf(file).length;
      process.kill(pid, collected ? 'SIGUSR2' : 'SIGHUP');
      const line = await eventually('the process tells what it holds', () => linesOf(file)[before]);
      const { heapUsed, resources, warnings } = JSON.parse(line) as Told;
      return { rssBytes: rssBytesOf(pid), heapBytes: heapUsed, sockets: socketsOf(pid), resources, warnings };
    },
  };
}

interface Told extends Pick<Held, 'resources' | 'warnings'> {
  readonly heapUsed: number;
}

function linesOf(file: string): string[] {
  return readFileSync(file, 'utf8').split('\n').slice(0, -1);
}

/** Resident memory, from /proc. */
function rssBytesOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Open sockets, from /proc. */
function socketsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => targetOf(pid, fd).startsWith('socket:')).length;
}

/** Empty for one that was closed since it was listed. */
function targetOf(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return '';
  }
}
