/** The client left, its time is over, or what it went on sending is refused. */
export type CallEnd = 'client' | 'deadline' | 'refused';

/**
 * One request's life beside its bytes. At any moment exactly one thing is under way for it (a wait in the queue, a
 * pause before another try, an attempt), so one slot for "how to undo that" takes the place of an AbortSignal with its
 * listeners: cheaper, and nothing to leak.
 */
export interface Call {
  /** Why nothing more is to be done for it; set once. */
  ended: CallEnd | undefined;
  /** Undoes the step under way. Cleared by whoever set it once the step is over. */
  undo: (() => void) | undefined;
}

export function createCall(): Call {
  return { ended: undefined, undo: undefined };
}

/** The step under way is undone now. A second end is ignored. */
export function endCall(call: Call, why: CallEnd): void {
  if (call.ended !== undefined) return;
  call.ended = why;
  const undo = call.undo;
  call.undo = undefined;
  undo?.();
}

/** Goes on after a pause, or once the call ends. */
export function pause(call: Call, ms: number, goOn: () => void): void {
  const done = (): void => {
    clearTimeout(timer);
    call.undo = undefined;
    goOn();
  };
  const timer = setTimeout(done, ms);
  call.undo = done;
}
