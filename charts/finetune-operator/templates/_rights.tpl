{{/* The permissions for jobs and their objects: in the cluster, or in each namespace. */}}
{{- define "finetune-operator.rules" -}}
# Schedules create jobs, and delete the oldest ones.
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
  # Deleted if they have no owner any more, as after a restored backup.
  verbs: [list, watch, delete]
# Read to find the owner of an object that has a required name, or that must be deleted.
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, create, delete]
{{- if include "finetune-operator.hasTrainerPolicies" . }}
# They isolate the nodes of an attempt from other pods.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, delete]
{{- end }}
- apiGroups: [""]
  resources: [events]
  # Read to report why a Job has no pods, or why a pod does not start.
  verbs: [create, list]
# Read to report why a job waits in a queue, if Kueue is installed.
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
{{- end }}

{{/* The permission to read the cluster's identity. */}}
{{- define "finetune-operator.clusterIdRule" -}}
# The uid of this namespace identifies the cluster in the output locations of jobs.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}

{{/* The permission to verify the tokens of progress reports, for pods in any namespace. */}}
{{- define "finetune-operator.tokenReviewRule" -}}
# Verifies the tokens of progress reports.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}

{{/* The objects that the operator creates for jobs, and a schedule's jobs: the admission policy restricts
each of them. A kind that it may create must be listed here, unless it is harmless everywhere. */}}
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

{{/* The operator's user name in the API server. */}}
{{- define "finetune-operator.userName" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "finetune-operator.serviceAccountName" . }}
{{- end }}

{{/* "true" if replicas write the `caBundle` of their webhook, else empty. */}}
{{- define "finetune-operator.keepsCaBundle" -}}
{{- if and (include "finetune-operator.hasWebhook" .) (not (include "finetune-operator.certificateSecret" .)) -}}
true
{{- end -}}
{{- end }}

{{/* "true", or empty. By default it is created if the permissions are cluster-wide. */}}
{{- define "finetune-operator.hasAdmissionPolicy" -}}
{{- $kinds := .Capabilities.APIVersions -}}
{{- $isServed := $kinds.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" -}}
{{- if not ($kinds.Has "apps/v1/Deployment") -}}
{{/* `helm template` has no API server: it has a version, and no kinds. */}}
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

{{/* Patterns of names, in the format of guard rails, as one regular expression, quoted for CEL. */}}
{{- define "finetune-operator.expression" -}}
{{- $parts := list -}}
{{- range . -}}
{{- $part := regexQuoteMeta . | replace "\\*" ".*" | replace "\\?" "." -}}
{{- $parts = append $parts ($part | replace "\\[!" "[^" | replace "\\[" "[" | replace "\\]" "]") -}}
{{- end -}}
{{- printf "^(%s)$" (join "|" $parts) | toJson -}}
{{- end }}
