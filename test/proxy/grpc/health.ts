import { type ClientReadableStream, credentials, makeClientConstructor, type ServiceError } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';
import { onTestFinished } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import type { Door } from '../http/door.ts';

/** A client of grpc.health.v1, made from the proto of another package than the door's own codec. */
export interface HealthClient {
  /** The status, or the name of the code and the message. */
  readonly check: (name: string) => Promise<string>;
  readonly list: () => Promise<Record<string, string>>;
  readonly watch: (name: string) => Watch;
}

export interface Watch {
  /** What it has said so far. */
  readonly said: string[];
  /** Resolves once it has said just these. */
  readonly until: (...said: string[]) => Promise<void>;
  /** The code it ended with. */
  readonly ended: Promise<number>;
  readonly cancel: () => void;
}

type Raw = Record<
  'check' | 'list',
  (request: object, done: (error: ServiceError | null, answer?: never) => void) => void
> &
  Record<'watch', (request: object) => ClientReadableStream<{ status: string }>> & { readonly close: () => void };

/** Ends with the test. */
export function healthOf(door: Door): HealthClient {
  const Health = makeClientConstructor(service, 'Health');
  const raw = new Health(`127.0.0.1:${door.grpcPort}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  }) as unknown as Raw;
  onTestFinished(() => raw.close());
  return {
    check: (name) =>
      new Promise((resolve) => {
        raw.check({ service: name }, (error, answer?: { status: string }) =>
          resolve(error === null ? String(answer?.status) : error.message),
        );
      }),
    list: () =>
      new Promise((resolve, reject) => {
        raw.list({}, (error, answer?: { statuses: Record<string, { status: string }> }) => {
          const statuses = Object.entries(answer?.statuses ?? {});
          if (error === null) resolve(Object.fromEntries(statuses.map(([name, { status }]) => [name, status])));
          else reject(error);
        });
      }),
    watch: (name) => {
      const said: string[] = [];
      const call = raw.watch({ service: name });
      call.on('data', ({ status }) => said.push(status));
      const ended = new Promise<number>((resolve) => {
        call.on('error', () => undefined);
        call.on('status', ({ code }) => resolve(code));
      });
      return {
        ...{ said, ended, cancel: () => call.cancel() },
        until: async (...wanted) =>
          void (await eventually(`it says ${wanted}`, () => JSON.stringify(said) === JSON.stringify(wanted))),
      };
    },
  };
}
