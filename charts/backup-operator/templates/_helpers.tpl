{{/* The release's name, with the chart's unless it says so already; short enough for every suffix that we append. */}}
{{- define "backup-operator.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 43 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "backup-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "backup-operator.labels" -}}
{{ include "backup-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "backup-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "backup-operator.fullname" .) -}}
{{- end -}}

{{/* What the API server calls the operator. */}}
{{- define "backup-operator.username" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "backup-operator.serviceAccountName" . }}
{{- end -}}

{{/* The image reference: the operator's, the init container's and the mover's. */}}
{{- define "backup-operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}
