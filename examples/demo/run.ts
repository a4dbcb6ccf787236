import { COMMON_FLAGS } from '../../program/flag-spec.ts';
import { createLog } from '../../program/log.ts';
import { onTermination } from '../../program/signals.ts';
import { flagsOrExit } from '../../program/start.ts';
import { DOOR_FLAGS, doorOptions } from '../../proxy/flags.ts';
import { serveFolders } from '../../standalone/serve.ts';
import { startModelServer } from './model-server.ts';

/** Four demo model servers and standalone on the files beside this one, all in this process: Ctrl-C ends everything. */
const SERVERS = { large: 18101, medium: 18102, small: 18103, fallback: 18104 };
const FLAGS = {
  ...DOOR_FLAGS,
  'http-address': { ...DOOR_FLAGS['http-address'], default: '127.0.0.1:8080' },
  'grpc-address': { ...DOOR_FLAGS['grpc-address'], default: '127.0.0.1:9001' },
  'admin-address': { ...DOOR_FLAGS['admin-address'], default: '127.0.0.1:9000' },
  'drain-timeout': { ...DOOR_FLAGS['drain-timeout'], default: '5s' },
  'log-level': { ...COMMON_FLAGS['log-level'], default: 'warn' },
} as const;

const flags = flagsOrExit('demo', FLAGS);
const log = createLog({ level: flags.logLevel, program: 'demo' });

try {
  const servers = await Promise.all(Object.entries(SERVERS).map(([name, port]) => startModelServer(name, port)));
  const options = doorOptions('demo', flags, { log, allowLoopback: true, apiServer: [] });
  const sluice = await serveFolders([import.meta.dirname], process.env, options);
  onTermination(async () => {
    await sluice.drain();
    for (const server of servers) server.closeAllConnections();
    await log.flush();
  });
  process.stdout.write(welcome(`http://127.0.0.1:${sluice.httpPort}`, `http://127.0.0.1:${sluice.adminPort}`));
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  const variables = 'SLUICE_HTTP_ADDRESS, SLUICE_GRPC_ADDRESS, SLUICE_ADMIN_ADDRESS';
  process.stderr.write(`demo: cannot start: ${reason}\n  other addresses: ${variables}\n`);
  process.exit(1);
}

function welcome(http: string, admin: string): string {
  const call = `curl -s ${http}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model": "chat", "messages": [{"role": "user", "content": "hi"}]}'`;
  return `
Sluice serves examples/demo/*.yaml: three model servers share the calls 5 : 3 : 2, a fourth is their fallback.

  OpenAI API   ${http}/v1
  state        ${admin}/pools/default/chat
  metrics      ${admin}/metrics

One call:

  ${call}

Ten calls, and who answered:

  for i in $(seq 10); do ${call}; echo; done | grep -o 'Hello from [a-z]*' | sort | uniq -c

Then edit a weight in examples/demo/chat.yaml, save, and make ten calls again. Or give the three wrong ports: the
fallback answers, and no call fails. Ctrl-C ends all of it.

`;
}
