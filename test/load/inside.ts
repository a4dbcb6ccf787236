import { appendFileSync } from 'node:fs';

/**
 * Loaded into a program under test (`--expose-gc --import=inside.ts`): at SIGUSR2 it collects garbage and appends to the
 * file INSIDE_FILE, as one line of JSON, what the process holds; at SIGHUP it does so without collecting.
 */
const file = process.env['INSIDE_FILE'] ?? '';
const warnings: string[] = [];

process.on('warning', ({ name, message }) => warnings.push(`${name}: ${message}`));
process.on('SIGUSR2', () => {
  // The first collection runs finalizers, the second takes what they let go.
  globalThis.gc?.();
  setImmediate(() => {
    globalThis.gc?.();
    tell();
  });
});
process.on('SIGHUP', tell);

function tell(): void {
  const { heapUsed, external } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  appendFileSync(file, `${JSON.stringify({ heapUsed, external, resources, warnings })}\n`);
}
