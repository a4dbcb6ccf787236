import { runTuned } from '../program/v8.ts';

// Loaded only then, so that what V8 is told counts from the first module that it compiles.
await runTuned(async () => (await import('./run.ts')).run(process.env));
