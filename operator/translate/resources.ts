import type { EmbeddingInstance } from '../../crds/embedding-instance.ts';
import type { LLMPool } from '../../crds/llm-pool.ts';
import type { Owner } from '../../proxy/config/schema.ts';

/** What translate reads of the cluster, and nothing more: a cluster has 20,000 foreign Pods. */

/** A TCP port. An absent name is ''. */
export interface PortFacts {
  readonly name: string;
  readonly port: number;
}

export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  /** ClusterIP, NodePort, LoadBalancer, ExternalName. */
  readonly type: string;
  /** Its first IP family: of two addresses of one server, the one that is called. */
  readonly family: 'IPv4' | 'IPv6';
  /** Empty for a headless Service. */
  readonly clusterIPs: readonly string[];
  readonly ports: readonly PortFacts[];
}

export interface SliceFacts {
  readonly namespace: string;
  readonly name: string;
  /** From the label kubernetes.io/service-name. */
  readonly service: string;
  /** A slice port without a number means all ports and is left out. */
  readonly ports: readonly PortFacts[];
  readonly endpoints: readonly {
    readonly addresses: readonly string[];
    readonly ready: boolean;
    readonly serving: boolean;
    readonly terminating: boolean;
  }[];
}

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Empty until it has one. */
  readonly ip: string;
  /** The Ready condition is True and it is not being deleted. */
  readonly ready: boolean;
  /** It is being deleted, or has ended (phase Succeeded or Failed): no endpoint. */
  readonly gone: boolean;
  readonly ports: readonly PortFacts[];
  /** Why it is not ready, in the pod's own words: ImagePullBackOff, Unschedulable, CrashLoopBackOff, else ''. */
  readonly reason: string;
}

export interface SecretFacts {
  readonly namespace: string;
  readonly name: string;
  /** Values as base64, as the API gives them. Only of Secrets that a CR names. */
  readonly data: Readonly<Record<string, string>>;
}

/** A CR that this schema cannot read, as after a downgrade. It is refused, and keeps what is published of it. */
export interface UnreadableFacts {
  readonly owner: Owner;
  readonly generation: number;
  readonly problem: string;
}

/** All of it, indexed so that one CR is translated without a walk over the rest. */
export interface Resources {
  /** By `namespace/name`, defaulted as the API server does. */
  readonly pools: ReadonlyMap<string, LLMPool>;
  readonly instances: ReadonlyMap<string, EmbeddingInstance>;
  /** By ownerKey; none of them is in `pools` or `instances`. */
  readonly unreadable: ReadonlyMap<string, UnreadableFacts>;
  /** By `namespace/name`. */
  readonly services: ReadonlyMap<string, ServiceFacts>;
  /** By `namespace/service`. */
  readonly slices: ReadonlyMap<string, readonly SliceFacts[]>;
  /** By namespace. */
  readonly pods: ReadonlyMap<string, readonly PodFacts[]>;
  /** Labelled ones, by `namespace/name`. */
  readonly secrets: ReadonlyMap<string, SecretFacts>;
  /** Names that the last good document of a CR holds, by ownerKey: a refused CR keeps serving under them. */
  readonly published: ReadonlyMap<string, readonly string[]>;
}

export interface TranslateOptions {
  /** Namespaces whose CRs may claim flat names. Absent: all. */
  readonly globalNamesFrom?: ReadonlySet<string> | undefined;
  /** Addresses and CIDRs allowed although they are loopback, link-local or the API server's. */
  readonly allowUpstream: readonly string[];
  /** Addresses and names. */
  readonly apiServerAddresses: readonly string[];
  /** Standalone: no cluster. Only `url` backends, loopback allowed, Secrets need no label. */
  readonly standalone: boolean;
}
