{{/* What the operator does with jobs and what belongs to them: in the cluster, or in each namespace. */}}
{{- define "finetune-operator.rules" -}}
# Schedules make jobs, and delete the oldest ones.
- apiGroups: [finetune.dev]
  resources: [finetunejobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [finetune.dev]
  resources: [finetuneschedules]
  verbs: [get, list, watch]
- apiGroups: [finetune.dev]
  resources: [finetunejobs/status, finetuneschedules/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  # Deleted where nothing owns them any more, as after a restored backup.
  verbs: [list, watch, delete]
# Read to find out whose an object is: whose name is taken, or that is to go.
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, create, delete]
{{- if include "finetune-operator.hasTrainerPolicies" . }}
# Who may reach the nodes of an attempt: its own.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, delete]
{{- end }}
- apiGroups: [""]
  resources: [events]
  # Read to tell why a Job has no pods, or why a pod does not start.
  verbs: [create, list]
# Why a job waits in a queue of Kueue's, if there is Kueue.
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
{{- end }}

{{/* Which cluster this is: the uid of one namespace. */}}
{{- define "finetune-operator.clusterIdRule" -}}
# Which cluster this is, by the uid of that namespace, for the places that jobs write to.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}

{{/* Whether a progress report's token is good: asked of the cluster, wherever the pod is. */}}
{{- define "finetune-operator.tokenReviewRule" -}}
# Whether a progress report's token is good.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}

{{/* What the operator makes for jobs, and a schedule's jobs: the admission policy bounds each of
them. A kind that it is given the right to create belongs here, unless it is harmless anywhere. */}}
{{- define "finetune-operator.children" -}}
- apiGroups: [batch]
  resources: [jobs]
- apiGroups: [""]
  resources: [configmaps, services, pods]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
- apiGroups: [finetune.dev]
  resources: [finetunejobs]
{{- end }}

{{/* As the API server calls the operator. */}}
{{- define "finetune-operator.userName" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "finetune-operator.serviceAccountName" . }}
{{- end }}

{{/* "true" where replicas write the `caBundle` of their webhook, or nothing. */}}
{{- define "finetune-operator.keepsCaBundle" -}}
{{- if and (include "finetune-operator.hasWebhook" .) (not (include "finetune-operator.certificateSecret" .)) -}}
true
{{- end -}}
{{- end }}

{{/* "true", or nothing: where nobody has said, it is made where the rights are the cluster's. */}}
{{- define "finetune-operator.hasAdmissionPolicy" -}}
{{- $kinds := .Capabilities.APIVersions -}}
{{- $isServed := $kinds.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" -}}
{{- if not ($kinds.Has "apps/v1/Deployment") -}}
{{/* `helm template` asks no API server: it knows a version, and no kinds. */}}
{{- $isServed = semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version -}}
{{- end -}}
{{- $enabled := .Values.admissionPolicy.enabled -}}
{{- if kindIs "invalid" $enabled -}}
{{- $enabled = and $isServed (not .Values.watchNamespaces) -}}
{{- else if and $enabled (not $isServed) -}}
{{- fail "admissionPolicy.enabled is true, and this API server has no ValidatingAdmissionPolicy of admissionregistration.k8s.io/v1: Kubernetes 1.30 or newer has it" -}}
{{- end -}}
{{- if $enabled -}}
true
{{- end -}}
{{- end }}

{{/* Patterns of names, as guard rails have them, as one regular expression, quoted for CEL. */}}
{{- define "finetune-operator.expression" -}}
{{- $parts := list -}}
{{- range . -}}
{{- $part := regexQuoteMeta . | replace "\\*" ".*" | replace "\\?" "." -}}
{{- $parts = append $parts ($part | replace "\\[!" "[^" | replace "\\[" "[" | replace "\\]" "]") -}}
{{- end -}}
{{- printf "^(%s)$" (join "|" $parts) | toJson -}}
{{- end }}
