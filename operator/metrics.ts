import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** The operator's own metrics (CONTRACT §6). */
export interface Metrics {
  readonly registry: Registry;
  readonly reconcileSeconds: Histogram;
  readonly reconcileErrors: Counter;
  readonly propagationSeconds: Histogram;
  readonly leader: Gauge;
}

/** What is read when a scraper asks. */
export interface MetricSources {
  readonly publishedDocuments: () => number;
  readonly lastEventAges: () => readonly { readonly resource: string; readonly seconds: number }[];
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createMetrics({ publishedDocuments, lastEventAges }: MetricSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({
    name: 'sluice_published_documents',
    help: 'Configurations that are published in the namespace of the operator.',
    registers,
    collect() {
      this.set(publishedDocuments());
    },
  });
  new Gauge({
    name: 'sluice_watch_last_event_age_seconds',
    help: 'How long the API server has said nothing of a resource, bookmarks included; the oldest watch of it.',
    labelNames: ['resource'],
    registers,
    collect() {
      const oldest = new Map<string, number>();
      for (const { resource, seconds } of lastEventAges()) {
        oldest.set(resource, Math.max(seconds, oldest.get(resource) ?? 0));
      }
      for (const [resource, seconds] of oldest) this.set({ resource }, seconds);
    },
  });
  return {
    registry,
    reconcileSeconds: new Histogram({
      name: 'sluice_reconcile_seconds',
      help: 'How long one object took from its turn to what is published and said of it.',
      buckets: SECONDS,
      registers,
    }),
    reconcileErrors: new Counter({
      name: 'sluice_reconcile_errors_total',
      help: 'Turns of an object that failed and are tried again.',
      registers,
    }),
    propagationSeconds: new Histogram({
      name: 'sluice_propagation_seconds',
      help: 'From a change of an object seen to every ready proxy serving it.',
      buckets: SECONDS,
      registers,
    }),
    leader: new Gauge({
      name: 'sluice_leader',
      help: '1 while this operator leads or needs no election, else 0.',
      registers,
    }),
  };
}
