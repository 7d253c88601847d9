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
  verbs: [list, watch]
# Read to find out whose an object is: whose name is taken, or that is to go.
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [events]
  # Read to tell why a Job has no pods, or why a pod does not start.
  verbs: [create, list]
# Why a job waits in a queue of Kueue's, if there is Kueue.
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
{{- end }}

{{/* Whether a progress report's token is good: asked of the cluster, wherever the pod is. */}}
{{- define "finetune-operator.tokenReviewRule" -}}
# Whether a progress report's token is good.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}
