{{/*
What both pods have in common: everything but their container's command, arguments and volumes.
Takes {root, component, values}.
*/}}
{{- define "sluice.podMetadata" -}}
labels:
  {{- include "sluice.selector" (dict "release" .root.Release.Name "component" .component) | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := dict }}
{{- if .root.Values.metrics.annotations }}
{{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/port" "9000" "prometheus.io/path" "/metrics" }}
{{- end }}
{{- with merge (deepCopy .values.podAnnotations) $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "sluice.podSettings" -}}
serviceAccountName: {{ .root.Release.Name }}-{{ .component }}
{{- /* Variables of the Service sluice-proxy would be named like flags. */}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
- topologyKey: kubernetes.io/hostname
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "sluice.selector" (dict "release" .root.Release.Name "component" .component) | nindent 6 }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "sluice.containerSettings" -}}
image: {{ include "sluice.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
env:
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- /* glibc keeps an arena a thread: 8 MB that nothing here needs. */}}
- {name: MALLOC_ARENA_MAX, value: "2"}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
startupProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
{{- with .values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
