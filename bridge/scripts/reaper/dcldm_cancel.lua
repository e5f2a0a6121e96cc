-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Stops the last job that was asked for here; its clips stay.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")

lib.act (function ()
  local id = reaper.GetExtState ("dcldm", "last")
  if id == "" then error ("Nothing was asked for here yet.", 0) end
  lib.send (nil, "/dcldm/cancel", id)
end)
