-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Makes the selected item's clip once more from what its own file says of it, also years later.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")

lib.act (lib.again, true)
