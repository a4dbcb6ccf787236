// A small program as the tests start it: flags, a log, a drain on SIGTERM.
import { COMMON_FLAGS } from '../../program/flag-spec.ts';
import { createLog } from '../../program/log.ts';
import { onTermination } from '../../program/signals.ts';
import { flagsOrExit } from '../../program/start.ts';

const flags = flagsOrExit('small', {
  ...COMMON_FLAGS,
  lines: { type: 'integer', default: '0', description: 'log lines' },
  stuck: { type: 'boolean', description: 'drain without end' },
});
const log = createLog({ level: flags.logLevel, program: 'small', maxBytes: 64 * 1024 });
for (let index = 0; index < flags.lines; index++) log.line(JSON.stringify({ index, padding: 'x'.repeat(200) }));
let draining = false;
const alive = setInterval(() => undefined, 1000);
onTermination(async () => {
  draining = true;
  if (flags.stuck) await new Promise(() => undefined);
  clearInterval(alive);
  await log.flush();
});
// The test asks over standard output, because nobody reads the standard error.
setInterval(() => process.stdout.write(`${JSON.stringify({ dropped: log.dropped(), draining })}\n`), 20).unref();
