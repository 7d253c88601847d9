-- SPDX-License-Identifier: Apache-2.0
-- Argo CD's health of a FineTuneJob; configs/argocd/README.md says how it is installed.
local function condition(name)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, found in ipairs(obj.status.conditions) do
      if found.type == name then
        return found
      end
    end
  end
  return nil
end

local function health(status, message)
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "the job is being deleted")
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not seen the newest spec yet")
end
local accepted = condition("Accepted")
if accepted ~= nil and accepted.status == "False" then
  return health("Degraded", accepted.message)
end
for _, rule in ipairs({
  { "Failed", "Degraded" },
  { "Complete", "Healthy" },
  { "Suspended", "Suspended" },
  { "Stalled", "Degraded" },
}) do
  local found = condition(rule[1])
  if found ~= nil and found.status == "True" then
    return health(rule[2], found.message)
  end
end
local ready = condition("Ready")
return health("Progressing", ready ~= nil and ready.message or "the job is under way")
