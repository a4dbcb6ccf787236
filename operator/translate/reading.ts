import type { EmbeddingInstance } from '../../crds/embedding-instance.ts';
import type { Backend, LLMPool } from '../../crds/llm-pool.ts';
import {
  type BackendDocument,
  type InstanceDocument,
  type Owner,
  ownerKey,
  type PoolDocument,
} from '../../proxy/config/schema.ts';
import type { Access } from './access.ts';
import type { Surroundings } from './backend.ts';
import type { Claim } from './claim-names.ts';
import { backendOfInstance, instanceDocument } from './instance-document.ts';
import { poolDocument } from './pool-document.ts';
import { instanceFaults, poolFaults } from './refuse.ts';

/** A CR of either kind, as translate goes through it. */
export interface Reading {
  readonly generation: number;
  /** Why it is not accepted. */
  readonly faults: readonly string[];
  readonly backends: readonly Backend[];
  readonly access: Access;
  /** Made of those backends that could be resolved. Absent exactly where it is not accepted. */
  readonly document: ((backends: readonly BackendDocument[]) => PoolDocument | InstanceDocument) | undefined;
}

/** Throws where there is no such CR. */
export function read(owner: Owner, claim: Claim, surroundings: Surroundings): Reading {
  const { pools, instances, unreadable } = surroundings.resources;
  const path = `${owner.namespace}/${owner.name}`;
  const pool = owner.kind === 'LLMPool' ? pools.get(path) : undefined;
  if (pool !== undefined) return readPool(pool, claim, surroundings);
  const instance = owner.kind === 'EmbeddingInstance' ? instances.get(path) : undefined;
  if (instance !== undefined) return readInstance(instance, claim, surroundings);
  const facts = unreadable.get(ownerKey(owner));
  if (facts === undefined) throw new Error(`${ownerKey(owner)} is not among the resources`);
  return {
    generation: facts.generation,
    faults: [facts.problem],
    backends: [],
    access: undefined,
    document: undefined,
  };
}

function readPool(pool: LLMPool, claim: Claim, { options, refuseUpstream }: Surroundings): Reading {
  const faults = poolFaults(pool, options, refuseUpstream);
  return {
    generation: pool.metadata.generation ?? 0,
    faults,
    backends: pool.spec.backends,
    access: pool.spec.access,
    document: faults.length > 0 ? undefined : (backends) => poolDocument(pool, claim.names, backends),
  };
}

function readInstance(instance: EmbeddingInstance, claim: Claim, { options, refuseUpstream }: Surroundings): Reading {
  const faults = instanceFaults(instance, options, refuseUpstream);
  // What a deployment refers to is looked up once deployments are made.
  const backends = instance.spec.deployment === undefined ? [backendOfInstance(instance)] : [];
  return {
    generation: instance.metadata.generation ?? 0,
    faults,
    backends,
    access: instance.spec.access,
    document: faults.length > 0 ? undefined : ([backend]) => instanceDocument(instance, claim, backend),
  };
}
