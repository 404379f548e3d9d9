-- The health of a TrainingJob, as Argo CD asks for it: docs/how-to/argocd-and-flux.md says how to give it this script.
local health = { status = "Progressing", message = "Waiting for the operator" }
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local holds, said = {}, ""
for _, condition in ipairs(status.conditions or {}) do
  holds[condition.type] = condition.status == "True"
  if condition.type == "Ready" then
    said = condition.message or ""
  end
end
if holds.Failed then
  health.status = "Degraded"
elseif holds.Finished then
  health.status = "Healthy"
elseif holds.Suspended then
  health.status = "Suspended"
end
health.message = (status.secondaryStatus or "") .. ": " .. (status.failureReason or said)
return health
