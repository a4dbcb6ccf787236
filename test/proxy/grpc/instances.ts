import { onTestFinished } from 'vitest';
import { type FakeTei, startFakeTei } from '../../support/fake-tei.ts';
import { type Door, instance } from '../http/door.ts';
import { clientOf, type GrpcClient } from './door.ts';

/** Fakes of TEI with these names; they end with the test. */
export async function teis<const N extends readonly string[]>(...names: N): Promise<{ [K in keyof N]: FakeTei }> {
  const fakes = await Promise.all(names.map((name) => startFakeTei(name)));
  for (const fake of fakes) onTestFinished(fake.close);
  return fakes as { [K in keyof N]: FakeTei };
}

/** The document of the gRPC instance ml/`name` with one server. */
export function tei(name: string, origin: string, fields: object = {}, backend: object = {}): Record<string, unknown> {
  return instance(name, { name, url: origin, ...backend }, { protocol: 'GRPC', ...fields });
}

/** The documents of one with several servers, on these ports of 127.0.0.1. */
export function teiOf(name: string, ports: readonly number[], fields: object = {}, backend: object = {}): Documents {
  const of = { kind: 'EmbeddingInstance', namespace: 'ml', name };
  return [
    instance(name, { name, scheme: 'http', ...backend }, { protocol: 'GRPC', ...fields }),
    {
      ...{ format: 1, kind: 'Endpoints', of, piece: 0 },
      endpoints: ports.map((port) => ({ backend: name, address: '127.0.0.1', port })),
    },
  ];
}

type Documents = [Record<string, unknown>, Record<string, unknown>];

/** A client of the door; it ends with the test. */
export function grpcOf(door: Door, service?: string, options?: { retries: boolean }): GrpcClient {
  const client = clientOf(door.grpcPort, service, options);
  onTestFinished(client.close);
  return client;
}

export const embed = (target: object, inputs = 'hello'): object => ({ target, request: { inputs } });
export const named = (instanceName: string): object => ({ instance_name: instanceName });
