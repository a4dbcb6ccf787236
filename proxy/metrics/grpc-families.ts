import type { PoolState } from '../pool.ts';
import { counterSamples, eachState, type Family, histogramSamples, type Sample } from './family.ts';
import type { GrpcSeries, PoolSeries, ProxySeries } from './series.ts';

/** What sluice_requests_total counts of gRPC. */
export function grpcRequests(pool: string, { grpc }: PoolSeries): Sample[] {
  return grpc === undefined ? [] : counterSamples(grpc.requests, (code) => ({ pool, protocol: 'grpc', code }));
}

export function grpcDurations(pool: string, { grpc }: PoolSeries): Sample[] {
  if (grpc === undefined) return [];
  return histogramSamples('sluice_request_duration_seconds', grpc.durationSeconds, { pool, protocol: 'grpc' });
}

export function grpcOverhead({ grpcOverheadSeconds }: ProxySeries): Sample[] {
  return histogramSamples('sluice_overhead_seconds', grpcOverheadSeconds, { protocol: 'grpc' });
}

/** tei-manager's own names. `instance` is the instanceName. */
export const GRPC_FAMILIES: readonly Family[] = [
  {
    name: 'tei_grpc_pool_connections_total',
    help: 'HTTP/2 connections made to the endpoints of an instance.',
    type: 'counter',
    collect: (sources) =>
      eachState(sources, (_, state) =>
        eachInstance(state, (instance, { connections }) =>
          connections === 0 ? [] : [{ labels: { instance }, value: connections }],
        ),
      ),
  },
  {
    name: 'tei_grpc_pool_requests_total',
    help: 'Calls to an instance by method; a stream counts once.',
    type: 'counter',
    collect: (sources) =>
      eachState(sources, (_, state) =>
        eachInstance(state, (instance, { methods }) => counterSamples(methods, (method) => ({ instance, method }))),
      ),
  },
  {
    name: 'tei_grpc_multiplexer_request_duration_seconds',
    help: 'From the head of a call to its status, by method.',
    type: 'histogram',
    collect: ({ series }) =>
      [...series.grpcMethodSeconds].flatMap(([method, histogram]) =>
        histogramSamples('tei_grpc_multiplexer_request_duration_seconds', histogram, { method }),
      ),
  },
];

function eachInstance(
  { current, series }: PoolState,
  samples: (instance: string, grpc: GrpcSeries) => Sample[],
): Sample[] {
  if (current?.instance === undefined || series.grpc === undefined) return [];
  return samples(current.instance.instanceName, series.grpc);
}
