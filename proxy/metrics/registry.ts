import { Registry } from 'prom-client';
import type { Endpoint } from '../pool.ts';
import { stateOf } from '../upstream/rest.ts';
import {
  counterSamples,
  eachSeries,
  eachState,
  type Family,
  histogramSamples,
  type MetricSources,
  optional,
  type Sample,
} from './family.ts';
import { GRPC_FAMILIES, grpcDurations, grpcOverhead, grpcRequests } from './grpc-families.ts';

/** Prometheus' view of the proxy: every family is read from where it is kept, at the moment of the scrape. */
export function createRegistry(sources: MetricSources): Registry {
  const registry = new Registry();
  for (const family of [...FAMILIES, ...GRPC_FAMILIES]) {
    const { name, help, type, collect } = family;
    const get = async (): Promise<object> => ({
      name,
      help,
      type,
      values: summed(collect(sources)),
      aggregator: 'sum',
    });
    registry.registerMetric({ name, help, type, get, labelNames: [], reset: () => undefined } as never);
  }
  return registry;
}

/** A pool and an instance may share namespace/name, which is their label: what both counted is then one series. */
function summed(samples: readonly Sample[]): Sample[] {
  const sums = new Map<string, Sample>();
  for (const sample of samples) {
    const key = `${sample.metricName} ${JSON.stringify(sample.labels)}`;
    const before = sums.get(key);
    sums.set(key, before === undefined ? sample : { ...before, value: before.value + sample.value });
  }
  return [...sums.values()];
}

/** The families, for the documentation and dashboards that are checked against them. */
const FAMILIES: readonly Family[] = [
  {
    name: 'sluice_requests_total',
    help: "Requests answered, by pool and status, or the name of gRPC's code; 499 and CANCELLED: the client left first.",
    type: 'counter',
    collect: (sources) =>
      eachSeries(sources, (pool, series) => [
        ...counterSamples(series.requests, (code) => ({ pool, protocol: 'http', code })),
        ...grpcRequests(pool, series),
      ]),
  },
  {
    name: 'sluice_request_duration_seconds',
    help: 'From the head of a request to the end of its answer.',
    type: 'histogram',
    collect: (sources) =>
      eachSeries(sources, (pool, series) => [
        ...histogramSamples('sluice_request_duration_seconds', series.durationSeconds, { pool, protocol: 'http' }),
        ...grpcDurations(pool, series),
      ]),
  },
  {
    name: 'sluice_time_to_first_byte_seconds',
    help: 'From the head of a request to the first byte of an answer body.',
    type: 'histogram',
    collect: (sources) =>
      eachSeries(sources, (pool, series) =>
        histogramSamples('sluice_time_to_first_byte_seconds', series.firstByteSeconds, { pool }),
      ),
  },
  {
    name: 'sluice_overhead_seconds',
    help: 'What the proxy itself adds before the first attempt: from a whole body or first message to its sending, the queue not counted.',
    type: 'histogram',
    collect: ({ series }) => [
      ...histogramSamples('sluice_overhead_seconds', series.overheadSeconds, { protocol: 'http' }),
      ...grpcOverhead(series),
    ],
  },
  {
    name: 'sluice_attempts_total',
    help: 'Attempts at endpoints by what they came to.',
    type: 'counter',
    collect: (sources) =>
      eachSeries(sources, (pool, { attempts }) =>
        counterSamples(attempts, (label) => {
          const at = label.lastIndexOf('|');
          return { pool, backend: label.slice(0, at), outcome: label.slice(at + 1) };
        }),
      ),
  },
  {
    name: 'sluice_attempt_duration_seconds',
    help: 'From the sending of an attempt to the end of its answer, whatever it came to.',
    type: 'histogram',
    collect: (sources) =>
      eachSeries(sources, (pool, { attemptSeconds }) =>
        [...attemptSeconds].flatMap(([backend, histogram]) =>
          histogramSamples('sluice_attempt_duration_seconds', histogram, { pool, backend }),
        ),
      ),
  },
  {
    name: 'sluice_in_flight_requests',
    help: 'Calls under way at the endpoints of a backend.',
    type: 'gauge',
    collect: (sources) => eachBackend(sources, (labels, endpoints) => [{ labels, value: inFlight(endpoints) }]),
  },
  {
    name: 'sluice_queue_depth',
    help: 'Requests that wait for a slot.',
    type: 'gauge',
    collect: (sources) => eachState(sources, (pool, state) => [{ labels: { pool }, value: state.queue.size }]),
  },
  {
    name: 'sluice_queue_wait_seconds',
    help: 'Time that requests spent waiting for a slot.',
    type: 'histogram',
    collect: (sources) =>
      eachSeries(sources, (pool, series) =>
        histogramSamples('sluice_queue_wait_seconds', series.queueWaitSeconds, { pool }),
      ),
  },
  {
    name: 'sluice_endpoints',
    help: 'Endpoints by state.',
    type: 'gauge',
    collect: (sources) => {
      const now = sources.now();
      return eachBackend(sources, (labels, endpoints, unready) =>
        ENDPOINT_STATES.map((state) => ({
          labels: { ...labels, state },
          value:
            endpoints.filter((endpoint) => stateOf(endpoint.state, now).state === state).length +
            (state === 'unhealthy' ? unready : 0),
        })),
      );
    },
  },
  {
    name: 'sluice_time_per_output_token_seconds',
    help: 'Of event streams whose usage is known: time after the first content, over the tokens after the first.',
    type: 'histogram',
    collect: (sources) =>
      eachSeries(sources, (pool, { perTokenSeconds }) =>
        histogramSamples('sluice_time_per_output_token_seconds', perTokenSeconds, { pool }),
      ),
  },
  {
    name: 'sluice_tokens_total',
    help: 'Tokens by type (input, output), as upstreams say in usage.',
    type: 'counter',
    collect: (sources) => eachSeries(sources, (pool, { tokens }) => counterSamples(tokens, (type) => ({ pool, type }))),
  },
  {
    name: 'sluice_retry_budget_exhausted_total',
    help: 'Retries not made because too many requests of the pool were being tried again.',
    type: 'counter',
    collect: (sources) =>
      eachSeries(sources, (pool, { retriesRefused }) =>
        retriesRefused === 0 ? [] : [{ labels: { pool }, value: retriesRefused }],
      ),
  },
  {
    name: 'sluice_shed_total',
    help: 'Requests refused because the proxy is overloaded, by reason.',
    type: 'counter',
    collect: ({ series }) => counterSamples(series.shed, (reason) => ({ reason })),
  },
  {
    name: 'sluice_config_documents',
    help: 'Documents by state: loaded, or rejected with the last good version served.',
    type: 'gauge',
    collect: ({ documents }) => {
      const { loaded, rejected } = documents.stats();
      return [
        { labels: { state: 'loaded' }, value: loaded },
        { labels: { state: 'rejected' }, value: rejected },
      ];
    },
  },
  {
    name: 'sluice_config_rejections_total',
    help: 'Documents refused since the start.',
    type: 'counter',
    collect: ({ documents }) => [{ labels: {}, value: documents.stats().rejections }],
  },
  {
    name: 'sluice_config_apply_seconds',
    help: 'How long the last change took to be parsed, compiled and served.',
    type: 'gauge',
    collect: ({ documents }) => optional(documents.stats().lastApplySeconds),
  },
  {
    name: 'sluice_config_last_change_timestamp_seconds',
    help: 'When the served configuration last changed.',
    type: 'gauge',
    collect: ({ documents }) => {
      const at = documents.stats().lastChangeAtMs;
      return optional(at === undefined ? undefined : at / 1000);
    },
  },
  {
    name: 'sluice_config_source',
    help: '1 for the source in use: api, folder, or snapshot (the last good documents on disk).',
    type: 'gauge',
    collect: ({ documents }) => {
      const source = documents.source();
      return source === undefined ? [] : [{ labels: { source }, value: 1 }];
    },
  },
];

const ENDPOINT_STATES = ['ready', 'cooling', 'ejected', 'unhealthy'] as const;

type BackendSamples = (
  labels: { pool: string; backend: string },
  endpoints: readonly Endpoint[],
  unready: number,
) => Sample[];

function eachBackend(sources: MetricSources, samples: BackendSamples): Sample[] {
  return eachState(sources, (pool, { current }) =>
    (current?.tiers ?? []).flatMap(({ backends }) =>
      backends.flatMap(({ name, endpoints, unready }) => samples({ pool, backend: name }, endpoints, unready.length)),
    ),
  );
}

function inFlight(endpoints: readonly Endpoint[]): number {
  return endpoints.reduce((sum, { state }) => sum + state.inFlight, 0);
}
