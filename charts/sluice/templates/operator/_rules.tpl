{{/* In every namespace whose resources it reads. */}}
{{- define "sluice.watchRules" -}}
- apiGroups: [sluice.dev]
  resources: [llmpools, embeddinginstances]
  verbs: [get, list, watch]
- apiGroups: [sluice.dev]
  resources: [llmpools/status, embeddinginstances/status]
  verbs: [update, patch]
- apiGroups: [""]
  resources: [services, pods, secrets]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* In its own namespace: what it publishes, its lease, and which proxies are there. */}}
{{- define "sluice.publishRules" -}}
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
{{- end -}}

{{/* In a namespace of sidecars: configuration, never a Secret. */}}
{{- define "sluice.sidecarRules" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
{{- end -}}

{{/* A Role and its binding for the operator. Takes {root, namespace, name, rules}. */}}
{{- define "sluice.operatorRole" -}}
{{- $name := print (include "sluice.clusterName" .root) "-" .name }}
{{- $of := dict "root" .root "name" $name "namespace" .namespace "component" "operator" }}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "sluice.metadata" $of | nindent 2 }}
rules:
{{ include .rules .root }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "sluice.metadata" $of | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects:
- {kind: ServiceAccount, name: {{ .root.Release.Name }}-operator, namespace: {{ .root.Release.Namespace }}}
{{- end -}}
