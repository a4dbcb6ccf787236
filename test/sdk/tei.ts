import { startPython } from './python.ts';

/** What came of a call, as grpcio has it. */
export interface Seen {
  readonly answers: readonly unknown[];
  readonly code: string;
  readonly details: string;
  readonly initial: Readonly<Record<string, string>>;
  readonly trailing: Readonly<Record<string, string>>;
}

export interface CallOptions {
  /** Default: the files of proto/. `documented`: the other numbering. */
  readonly by?: 'documented' | 'reflection';
  readonly metadata?: Readonly<Record<string, string>>;
  /** Default: 10 s; 0: none. */
  readonly timeoutMs?: number;
  readonly gzip?: boolean;
}

/** grpcio in a process of its own; `port` is where the door is. */
export interface Grpcio {
  readonly call: (port: number, method: string, requests: readonly object[], options?: CallOptions) => Promise<Seen>;
  /** Anything else that tei_calls.py has. */
  readonly ask: (port: number, name: GrpcioCall, extra?: object) => Promise<unknown>;
  readonly stop: () => void;
}

type GrpcioCall = 'call' | 'check' | 'list_health' | 'watch' | 'watched' | 'services' | 'files';

export function startGrpcio(): Grpcio {
  const python = startPython<GrpcioCall>('tei_calls.py');
  const ask = async (port: number, name: GrpcioCall, extra: object = {}, timeoutMs = 10_000): Promise<unknown> => {
    const { value, error } = await python.call(name, { url: `127.0.0.1:${port}`, extra, timeoutMs });
    if (error !== undefined) throw new Error(`${name}: ${error.class} ${error.text}`);
    return value;
  };
  return {
    call: async (port, method, requests, { timeoutMs, ...options } = {}) =>
      (await ask(port, 'call', { method, requests, ...options }, timeoutMs)) as Seen,
    ask,
    stop: python.stop,
  };
}
