import { statSync } from 'node:fs';
import { translate } from '../operator/translate/translate.ts';
import type { FlagSpec } from '../program/flag-spec.ts';
import { UsageError } from '../program/flags.ts';
import { createLog } from '../program/log.ts';
import { onTermination } from '../program/signals.ts';
import { flagsOrExit } from '../program/start.ts';
import { DOOR_FLAGS, doorOptions } from '../proxy/flags.ts';
import { check } from './check.ts';
import { gather, resourcesOf, translateOptions } from './gather.ts';
import { lookInto } from './look.ts';
import { serveFolders } from './serve.ts';
import { shelve } from './shelf.ts';

const PROGRAM = 'standalone';
const FLAGS = {
  dirs: { type: 'arguments', description: 'folders whose *.yaml files are read and followed' },
  check: {
    type: 'boolean',
    description: 'print the conditions of each resource, exit 1 if one is refused or a file cannot be read',
  },
  ...DOOR_FLAGS,
} as const satisfies FlagSpec;

const flags = flagsOrExit(PROGRAM, FLAGS);
const log = createLog({ level: flags.logLevel, program: PROGRAM });

try {
  requireFolders(flags.dirs);
  await (flags.check ? printCheck() : serve());
} catch (error) {
  if (error instanceof UsageError) process.stderr.write(`${error.message}\n`);
  else log.error({ err: error }, 'standalone cannot start');
  await log.flush();
  process.exit(error instanceof UsageError ? 2 : 1);
}

/** A folder that is missing from the start is a slip of the hand; one that goes later is waited for. */
function requireFolders(dirs: readonly string[]): void {
  if (dirs.length === 0) throw new UsageError(`${PROGRAM}: name at least one folder of *.yaml files; see --help`);
  for (const dir of dirs) {
    const stats = statSync(dir, { throwIfNoEntry: false });
    if (stats === undefined) throw new UsageError(`${PROGRAM}: there is no folder ${dir}`);
    if (!stats.isDirectory()) throw new UsageError(`${PROGRAM}: ${dir} is not a folder`);
  }
}

async function printCheck(): Promise<void> {
  const look = await lookInto(flags.dirs);
  const shelf = shelve(new Map(), look, process.env);
  const gathered = gather(shelf);
  const translations = translate(resourcesOf(gathered, new Map()), translateOptions(flags.allowUpstream));
  const { text, isRefused } = check({ translations, faults: gathered.faults, shelf, unreadable: look.unreadable });
  process.stdout.write(`${text}\n`);
  process.exitCode = isRefused ? 1 : 0;
}

async function serve(): Promise<void> {
  const options = doorOptions(PROGRAM, flags, { log, allowLoopback: true, apiServer: [] });
  const { httpPort, grpcPort, adminPort, drain } = await serveFolders(flags.dirs, process.env, options);
  log.info({ httpPort, grpcPort, adminPort, folders: flags.dirs }, 'listening');
  onTermination(async () => {
    log.info({}, 'draining');
    await drain();
    await log.flush();
  });
}
