import type { Reporter, TestCase } from 'vitest/node';

/**
 * A vitest reporter for a run of everything: its last line is `N passed, N failed`. A file that could not be run and an
 * error outside of tests count as failed; a skipped test, or no test at all, fails the run.
 */
export default function closingLine(): Reporter {
  return {
    onTestRunEnd(modules, unhandledErrors) {
      const tests = modules.flatMap((module) => [...module.children.allTests()]);
      const count = (state: string) => tests.filter((test) => test.result().state === state).length;
      const brokenFiles = modules.filter(
        (module) => module.state() === 'failed' && !hasFailed(module.children.allTests()),
      );
      const passed = count('passed');
      const failed = count('failed') + brokenFiles.length + unhandledErrors.length;
      const skipped = tests.length - passed - count('failed');
      if (skipped > 0) process.stdout.write(`\n${skipped} skipped: a test that does not run proves nothing\n`);
      if (skipped > 0 || passed === 0) process.exitCode = 1;
      process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
    },
  };
}

function hasFailed(tests: Iterable<TestCase>): boolean {
  return [...tests].some((test) => test.result().state === 'failed');
}
