{{/* The operator uses this name for its Lease, Service and webhook configuration. */}}
{{- define "finetune-operator.name" -}}
finetune-operator
{{- end }}

{{/* The name of cluster-scoped objects, which several installations would share otherwise. */}}
{{- define "finetune-operator.clusterName" -}}
{{ if .Values.watchNamespaces }}finetune-operator-{{ .Release.Namespace }}{{ else }}finetune-operator{{ end }}
{{- end }}

{{- define "finetune-operator.selectorLabels" -}}
app.kubernetes.io/name: finetune-operator
{{- end }}

{{- define "finetune-operator.labels" -}}
{{ include "finetune-operator.selectorLabels" . }}
{{ include "finetune-operator.releaseLabels" . }}
{{- end }}

{{/* The labels of pods other than the operator's, which its Service must not select. */}}
{{- define "finetune-operator.pageSelectorLabels" -}}
app.kubernetes.io/name: finetune-results-page
{{- end }}

{{- define "finetune-operator.pageLabels" -}}
{{ include "finetune-operator.pageSelectorLabels" . }}
{{ include "finetune-operator.releaseLabels" . }}
{{- end }}

{{- define "finetune-operator.releaseLabels" -}}
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

{{/* The reference of an image value: `image` or `resultsPage.image`. */}}
{{- define "finetune-operator.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{/* The reference of the trainer's image, whose value includes the tag. */}}
{{- define "finetune-operator.trainerImage" -}}
{{ if .digest }}{{ regexReplaceAll "(:[^:/@]+)?(@.*)?$" .image "" }}@{{ .digest }}{{ else }}{{ .image }}{{ end }}
{{- end }}

{{/* The Secret with the webhook's certificate; empty if replicas create their own. */}}
{{- define "finetune-operator.certificateSecret" -}}
{{- if .Values.webhook.certificate.certManager.enabled -}}
{{ .Values.webhook.certificate.secretName | default "finetune-operator-webhook" }}
{{- else -}}
{{ .Values.webhook.certificate.secretName }}
{{- end -}}
{{- end }}

{{/* "true", or empty. */}}
{{- define "finetune-operator.hasWebhook" -}}
{{- if and .Values.webhook.enabled (or (not .Values.watchNamespaces) (include "finetune-operator.certificateSecret" .)) -}}
true
{{- end -}}
{{- end }}

{{/* "true", or empty. A release with older values has no value for it, which counts as true. */}}
{{- define "finetune-operator.hasTrainerPolicies" -}}
{{- if ne (toString .Values.trainer.networkPolicy) "false" -}}
true
{{- end -}}
{{- end }}

{{/* Scheduling and security context, the same for all pods of this chart. */}}
{{- define "finetune-operator.pod" -}}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "finetune-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
