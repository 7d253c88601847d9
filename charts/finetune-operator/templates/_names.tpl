{{/* Lease, Service and webhook configuration are known to the operator by this name. */}}
{{- define "finetune-operator.name" -}}
finetune-operator
{{- end }}

{{/* Objects of the cluster, which several installations would share otherwise. */}}
{{- define "finetune-operator.clusterName" -}}
{{ if .Values.watchNamespaces }}finetune-operator-{{ .Release.Namespace }}{{ else }}finetune-operator{{ end }}
{{- end }}

{{- define "finetune-operator.selectorLabels" -}}
app.kubernetes.io/name: finetune-operator
{{- end }}

{{- define "finetune-operator.labels" -}}
{{ include "finetune-operator.selectorLabels" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "finetune-operator.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (ternary (include "finetune-operator.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "finetune-operator.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}

{{/* The Secret that the webhook's certificate is mounted from; empty where replicas make their own. */}}
{{- define "finetune-operator.certificateSecret" -}}
{{- if .Values.webhook.certificate.certManager.enabled -}}
{{ .Values.webhook.certificate.secretName | default "finetune-operator-webhook" }}
{{- else -}}
{{ .Values.webhook.certificate.secretName }}
{{- end -}}
{{- end }}

{{/* "true", or nothing. */}}
{{- define "finetune-operator.hasWebhook" -}}
{{- if and .Values.webhook.enabled (or (not .Values.watchNamespaces) (include "finetune-operator.certificateSecret" .)) -}}
true
{{- end -}}
{{- end }}
