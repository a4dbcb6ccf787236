import { COMMON_FLAGS, type FlagSpec } from '../program/flag-spec.ts';

/** CONTRACT §1. */
export const FLAGS = {
  namespace: {
    type: 'string',
    description: "where it publishes, and where its Lease and owner are; its own: POD_NAMESPACE, else the account's",
  },
  'watch-namespaces': { type: 'list', description: 'namespaces whose resources it reads; none: all' },
  'sidecar-namespaces': { type: 'list', description: 'namespaces into which their own configuration is published too' },
  'global-names-from': { type: 'list', description: 'namespaces whose resources may claim flat names; none: all' },
  'proxy-service': {
    type: 'string',
    default: 'sluice-proxy-admin',
    description: 'Service of the central proxies, with a port named admin; empty: there are none',
  },
  owner: {
    type: 'string',
    default: 'sluice-root',
    description: 'ConfigMap that owns what is published, and the name of this install',
  },
  'allow-upstream': { type: 'cidrs', description: 'addresses allowed although loopback or link-local' },
  'admin-address': { type: 'address', default: ':9000', description: 'where /metrics, /livez and /readyz are' },
  'no-leader-election': { type: 'boolean', description: 'lead at once; only where no second operator runs' },
  kubeconfig: { type: 'string', description: "a kubeconfig instead of the pod's account" },
  ...COMMON_FLAGS,
} as const satisfies FlagSpec;
