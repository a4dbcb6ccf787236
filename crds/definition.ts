import type * as z from 'zod';
import { EmbeddingInstance } from './embedding-instance.ts';
import { LLMPool } from './llm-pool.ts';
import { GROUP, VERSION } from './resource.ts';
import { type Node, structural } from './structural.ts';

interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly schema: z.ZodType;
  readonly columns: readonly Column[];
  readonly scale?: Node;
}

interface Column {
  readonly name: string;
  readonly type: 'string' | 'date';
  readonly description: string;
  readonly jsonPath: string;
}

const statusColumns: readonly Column[] = [
  { name: 'Endpoints', type: 'string', description: 'Ready endpoints of all.', jsonPath: '.status.ready' },
  condition('Programmed', 'Whether every ready proxy serves this configuration.'),
  condition('Ready', 'Whether calls can be answered.'),
  { name: 'Age', type: 'date', description: 'Since it was created.', jsonPath: '.metadata.creationTimestamp' },
];

export const KINDS: readonly Kind[] = [
  {
    kind: 'LLMPool',
    plural: 'llmpools',
    shortName: 'pool',
    schema: LLMPool,
    columns: [
      { name: 'Models', type: 'string', description: 'The names it really has.', jsonPath: '.status.models' },
      ...statusColumns,
    ],
  },
  {
    kind: 'EmbeddingInstance',
    plural: 'embeddinginstances',
    shortName: 'emb',
    schema: EmbeddingInstance,
    columns: [
      { name: 'Model', type: 'string', description: 'The model id.', jsonPath: '.spec.model' },
      ...statusColumns,
    ],
    scale: {
      specReplicasPath: '.spec.deployment.replicas',
      statusReplicasPath: '.status.replicas',
      labelSelectorPath: '.status.selector',
    },
  },
];

/** The CustomResourceDefinition of a kind. */
export function definition({ kind, plural, shortName, schema, columns, scale }: Kind): Node {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [shortName],
        categories: ['sluice', 'all'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          additionalPrinterColumns: columns,
          subresources: { status: {}, ...(scale && { scale }) },
          schema: { openAPIV3Schema: structural(schema) },
        },
      ],
    },
  };
}

function condition(type: string, description: string): Column {
  return {
    name: type,
    type: 'string',
    description,
    jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
  };
}
