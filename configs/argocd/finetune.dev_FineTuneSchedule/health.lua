-- SPDX-License-Identifier: Apache-2.0
-- Argo CD's health of a FineTuneSchedule; configs/argocd/README.md says how it is installed.
-- How its jobs turn out is their own health: a schedule is healthy when it can start them.
if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "the schedule is being deleted" }
end
if obj.spec.suspend then
  return { status = "Suspended", message = "spec.suspend is true" }
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not seen the newest spec yet" }
end
for _, found in ipairs(obj.status.conditions or {}) do
  local is_refused = found.type == "Accepted" and found.status == "False"
  if is_refused or (found.type == "Stalled" and found.status == "True") then
    return { status = "Degraded", message = found.message }
  end
end
return { status = "Healthy", message = "jobs are started as scheduled" }
