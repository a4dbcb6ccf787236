import { constants, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/**
 * The standard error as a stream whose writes never wait for the reader. `process.stderr` writes to pipes synchronously: a
 * reader that stops reading would stop the whole process. A file or a terminal does not stop, so there it serves.
 */
export function openStderr(): Writable {
  // Made first, because making it later would set the shared pipe to blocking.
  const { stderr } = process;
  const stat = fstatSync(2);
  if (!stat.isFIFO() && !stat.isSocket()) return stderr;
  return new Socket({ fd: stat.isFIFO() ? reopened() : 2, readable: false, writable: true });
}

/** A description of the pipe that is ours alone: making the inherited one non-blocking would do it to all who share it. */
function reopened(): number {
  try {
    return openSync('/proc/self/fd/2', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return 2;
  }
}
