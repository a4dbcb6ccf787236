import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { tie } from '../support/reaper.ts';
import type { Asking, Outcome, Sdk } from './sdk.ts';

/** Starts a script of this folder, which then makes one call after another. Throws where its Python is not there. */
export function startPython<Call extends string>(script: string): Sdk<Call> {
  const { HOME = '' } = process.env;
  const child = spawn(pythonOfCache(), [join(import.meta.dirname, script)], {
    // Nothing else: a proxy or a key of this machine is no part of the test.
    env: { HOME, PYTHONDONTWRITEBYTECODE: '1', PYTHONIOENCODING: 'utf-8' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  tie(child);
  let said = '';
  child.stderr.on('data', (text) => {
    said = `${said}${text}`.slice(-4_000);
  });
  // The end of the process shows as the end of its lines.
  child.stdin.on('error', () => undefined);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  const exchange = async (line: string): Promise<Outcome> => {
    child.stdin.write(`${line}\n`);
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${script} has ended:\n${said}`);
    return JSON.parse(value) as Outcome;
  };
  return {
    call: (name: Call, asking: Asking) => {
      const outcome = last.then(() => exchange(JSON.stringify({ call: name, asking })));
      last = outcome.catch(() => undefined);
      return outcome;
    },
    stop: () => void child.stdin.end(),
  };
}

/** Where test/assets/fetch-python has put it. */
function pythonOfCache(): string {
  const requirements = readFileSync(join(import.meta.dirname, 'requirements.txt'));
  const hash = createHash('sha256').update(requirements).digest('hex').slice(0, 12);
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const python = join(cache, 'sluice', `python-${hash}`, 'bin', 'python');
  if (!existsSync(python)) throw new Error(`no ${python}: run test/assets/fetch-python`);
  return python;
}
