import type { Documents } from '../config/documents.ts';
import type { PoolState } from '../pool.ts';
import type { Snapshot } from '../snapshot.ts';
import type { Counter, Histogram, PoolSeries, ProxySeries } from './series.ts';

/** Where the numbers are when somebody scrapes. */
export interface MetricSources {
  readonly snapshot: () => Snapshot;
  readonly series: ProxySeries;
  readonly documents: Documents;
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
}

export interface Sample {
  readonly labels: Record<string, string | number>;
  readonly value: number;
  /** Where it differs from the metric's: a histogram's `_bucket`, `_sum`, `_count`. */
  readonly metricName?: string;
}

/** One metric, and how its samples are found. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly collect: (sources: MetricSources) => Sample[];
}

export function optional(value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ labels: {}, value }];
}

export function eachState(
  { snapshot }: MetricSources,
  samples: (pool: string, state: PoolState) => Sample[],
): Sample[] {
  return [...snapshot().states.values()].flatMap((state) => samples(state.key, state));
}

export function eachSeries(sources: MetricSources, samples: (pool: string, series: PoolSeries) => Sample[]): Sample[] {
  return [
    ...eachState(sources, (pool, state) => samples(pool, state.series)),
    ...samples('unknown', sources.series.unknown),
  ];
}

export function counterSamples(counter: Counter, labelsOf: (label: string) => Sample['labels']): Sample[] {
  return [...counter].map(([label, value]) => ({ labels: labelsOf(label), value }));
}

/** Nothing until the first observation: a series begins on use. */
export function histogramSamples(name: string, histogram: Histogram, labels: Sample['labels']): Sample[] {
  const { bounds, counts, sum } = histogram;
  const samples: Sample[] = [];
  let total = 0;
  counts.forEach((inBucket, index) => {
    total += inBucket;
    const le = bounds[index] ?? '+Inf';
    samples.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: total });
  });
  if (total === 0) return [];
  samples.push(
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: total },
  );
  return samples;
}
