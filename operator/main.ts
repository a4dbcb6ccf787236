import { setFlagsFromString } from 'node:v8';
import { runTuned } from '../program/v8.ts';

// The heap grows in small steps: 153 MB with 20,000 foreign pods, not 194, for a few milliseconds at the start.
setFlagsFromString('--optimize-for-size');
// Loaded only then, so that what V8 is told counts from the first module that it compiles.
await runTuned(async () => (await import('./run.ts')).run(process.env));
