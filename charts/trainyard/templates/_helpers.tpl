{{- define "trainyard.name" -}}
{{- $name := ternary .Release.Name (printf "%s-trainyard" .Release.Name) (contains "trainyard" .Release.Name) -}}
{{- $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Names of cluster-wide objects carry the namespace, as another release may have the same name elsewhere. */}}
{{- define "trainyard.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "trainyard.name" .) -}}
{{- end -}}

{{- define "trainyard.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "trainyard.name" .) -}}
{{- end -}}

{{- define "trainyard.selector" -}}
app.kubernetes.io/name: trainyard
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "trainyard.labels" -}}
{{ include "trainyard.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{- define "trainyard.subject" -}}
- kind: ServiceAccount
  name: {{ include "trainyard.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* What the operator does in a namespace whose jobs it runs. */}}
{{- define "trainyard.namespacedRules" -}}
- apiGroups: [trainyard.dev]
  resources: [trainingjobs, executionroles]
  verbs: [get, list, watch]
- apiGroups: [trainyard.dev]
  resources: [trainingjobs] # those whose annotation says so, when their ttlSecondsAfterFinished is over
  verbs: [delete]
- apiGroups: [trainyard.dev]
  resources: [trainingjobs/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
{{- if .Values.metricsFromLogs.enabled }}
- apiGroups: [""]
  resources: [pods/log] # metricDefinitions, and nothing else
  verbs: [get]
{{- end }}
- apiGroups: [""]
  resources: [configmaps] # the job plans
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, create]
- apiGroups: [""]
  resources: [persistentvolumeclaims] # those that jobs' channels are mounted from
  verbs: [get, list]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
