-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Makes the selected item's clip anew from its own prompt, as further takes of the item.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")

lib.act (function (here)
  lib.vary (here, "regenerate", {})
end, true)
