import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** A process under measurement. */
export interface Measured {
  readonly port: number;
  /** CPU seconds it has used so far, user and system. */
  readonly cpuSeconds: () => number;
  /** Resident memory, MB. */
  readonly residentMb: () => number;
  readonly stop: () => Promise<void>;
}

/** Linux counts CPU time in hundredths of a second (`getconf CLK_TCK`). */
const TICKS_PER_SECOND = 100;

/** Starts `node FILE ARGS`, which prints its port as its first line. */
export async function startPrinting(file: string, args: readonly string[]): Promise<Measured> {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return measured(child, Number(line));
}

export function measured(child: ChildProcess, port: number): Measured {
  const { pid } = child;
  return {
    port,
    cpuSeconds: () => {
      const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
      const fields = rest.split(' ');
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    },
    residentMb: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024,
    stop: async () => {
      if (child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
