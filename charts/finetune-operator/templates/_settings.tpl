{{/* The values that become variables of the operator's environment, without empty ones. */}}
{{- define "finetune-operator.settings" -}}
{{- $variables := list
    (list "TRAINER_IMAGE" (include "finetune-operator.trainerImage" .Values.trainer))
    (list "SHARED_MEMORY" .Values.trainer.sharedMemory)
    (list "TRAINER_PULL_SECRETS" (include "finetune-operator.trainerPullSecrets" .))
    (list "TRAINER_NETWORK_POLICY" (ternary "" "false" (ne (include "finetune-operator.hasTrainerPolicies" .) "")))
    (list "CLUSTER_ID" .Values.clusterId)
    (list "WORKERS" .Values.operator.workers)
    (list "RESYNC_SECONDS" .Values.operator.resyncSeconds)
    (list "PROGRESS_INTERVAL_SECONDS" .Values.operator.progressIntervalSeconds)
    (list "LOG_LEVEL" .Values.operator.logLevel)
    (list "WATCH_NAMESPACES" (join "," .Values.watchNamespaces))
    (list "NAMESPACES" (join "," .Values.guardRails.namespaces))
    (list "ALLOWED_IMAGES" (join "," .Values.guardRails.allowedImages))
    (list "ALLOW_TRUST_REMOTE_CODE" .Values.guardRails.allowTrustRemoteCode)
    (list "OUTPUT_PREFIXES" (join "," .Values.guardRails.outputPrefixes))
    (list "MAX_GPUS" .Values.guardRails.maxGpus)
    (list "ALLOWED_HOST_PATHS" (join "," .Values.guardRails.allowedHostPaths))
    (list "ALLOWED_SERVICE_ACCOUNTS" (join "," .Values.guardRails.allowedServiceAccounts))
    (list "GPU_MEMORY" .Values.memoryCheck.gpuMemory)
    (list "MODEL_CONFIGS" .Values.memoryCheck.modelConfigs)
    (list "WEBHOOK_PORT" (ternary "" "0" (ne (include "finetune-operator.hasWebhook" .) "")))
    (list "WEBHOOK_CERTIFICATES" (ternary "/certificates" "" (ne (include "finetune-operator.certificateSecret" .) "")))
}}
{{- range $variables }}
{{- $name := first . }}
{{- with last . }}
- name: {{ $name }}
  value: {{ toString . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The names of the pull secrets for the image of trainer pods. */}}
{{- define "finetune-operator.trainerPullSecrets" -}}
{{- $names := list }}
{{- range .Values.trainer.imagePullSecrets }}{{ $names = append $names .name }}{{ end }}
{{- join "," $names }}
{{- end }}
