/**
 * What is counted on the hot path, in plain numbers: prom-client costs 200-280 ns an observation with labels, these
 * 10-20. They are turned into Prometheus series only when somebody scrapes.
 */
export interface Histogram {
  readonly bounds: readonly number[];
  /** Per bucket, not cumulative; the last is beyond every bound. */
  readonly counts: Float64Array;
  sum: number;
}

function createHistogram(bounds: readonly number[]): Histogram {
  return { bounds, counts: new Float64Array(bounds.length + 1), sum: 0 };
}

export function observe(histogram: Histogram, value: number): void {
  const { bounds, counts } = histogram;
  let index = 0;
  while (index < bounds.length && value > (bounds[index] as number)) index += 1;
  counts[index] = (counts[index] as number) + 1;
  histogram.sum += value;
}

/** A counter with one varying label, or several joined by `|`. */
export type Counter = Map<string, number>;

export function count(counter: Counter, label: string, by = 1): void {
  counter.set(label, (counter.get(label) ?? 0) + by);
}

/** Seconds; a model's answer takes from milliseconds (embeddings) to minutes (reasoning). */
const DURATION_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const PER_TOKEN_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5];
const OVERHEAD_BOUNDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1];

/** The series of one pool: they begin on use and go with it. */
export interface PoolSeries {
  /** By code, the HTTP status. */
  readonly requests: Counter;
  readonly durationSeconds: Histogram;
  readonly firstByteSeconds: Histogram;
  readonly queueWaitSeconds: Histogram;
  readonly perTokenSeconds: Histogram;
  /** By `backend|outcome`. */
  readonly attempts: Counter;
  /** By backend. */
  readonly attemptSeconds: Map<string, Histogram>;
  /** By type: input, output. */
  readonly tokens: Counter;
  retriesRefused: number;
  /** Undefined until it is used. */
  grpc: GrpcSeries | undefined;
}

/** What is counted of an instance's gRPC apart. */
export interface GrpcSeries {
  /** By the name of gRPC's code. */
  readonly requests: Counter;
  readonly durationSeconds: Histogram;
  /** Calls by method in snake case; a stream counts once. */
  readonly methods: Counter;
  /** Made so far. */
  connections: number;
}

export function grpcOf(series: PoolSeries): GrpcSeries {
  series.grpc ??= {
    requests: new Map(),
    durationSeconds: createHistogram(DURATION_BOUNDS),
    methods: new Map(),
    connections: 0,
  };
  return series.grpc;
}

/** An attempt at a backend that is over. */
export function countAttempt(series: PoolSeries, backend: string, outcome: string, seconds: number): void {
  count(series.attempts, `${backend}|${outcome}`);
  let histogram = series.attemptSeconds.get(backend);
  if (histogram === undefined) {
    histogram = createHistogram(DURATION_BOUNDS);
    series.attemptSeconds.set(backend, histogram);
  }
  observe(histogram, seconds);
}

export function createSeries(): PoolSeries {
  return {
    requests: new Map(),
    durationSeconds: createHistogram(DURATION_BOUNDS),
    firstByteSeconds: createHistogram(DURATION_BOUNDS),
    queueWaitSeconds: createHistogram(DURATION_BOUNDS),
    perTokenSeconds: createHistogram(PER_TOKEN_BOUNDS),
    attempts: new Map(),
    attemptSeconds: new Map(),
    tokens: new Map(),
    retriesRefused: 0,
    grpc: undefined,
  };
}

/** What belongs to no pool. */
export interface ProxySeries {
  readonly overheadSeconds: Histogram;
  readonly grpcOverheadSeconds: Histogram;
  /** By method in snake case, whatever the instance. */
  readonly grpcMethodSeconds: Map<string, Histogram>;
  /** Requests refused under overload, by reason. */
  readonly shed: Counter;
  /** Requests that named no pool we have, under the pool `unknown`. */
  readonly unknown: PoolSeries;
}

export function createProxySeries(): ProxySeries {
  return {
    overheadSeconds: createHistogram(OVERHEAD_BOUNDS),
    grpcOverheadSeconds: createHistogram(OVERHEAD_BOUNDS),
    grpcMethodSeconds: new Map(),
    shed: new Map(),
    unknown: createSeries(),
  };
}

export function observeMethod({ grpcMethodSeconds }: ProxySeries, method: string, seconds: number): void {
  let histogram = grpcMethodSeconds.get(method);
  if (histogram === undefined) {
    histogram = createHistogram(DURATION_BOUNDS);
    grpcMethodSeconds.set(method, histogram);
  }
  observe(histogram, seconds);
}
