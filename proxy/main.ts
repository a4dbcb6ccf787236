import { holdNewSpace, tuneV8 } from '../program/v8.ts';

tuneV8();
// Only now: what V8 is told counts from the first module that it compiles.
const { run } = await import('./run.ts');
await run(process.env);
holdNewSpace();
