-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Rung over OSC (/action/str). Runs once and ends: REAPER asks questions about a script that still runs.
local folder = reaper.GetResourcePath () .. "/Scripts/dcldm/"
local lib = dofile (folder .. "dcldm_lib.lua")
local place = loadfile (folder .. "dcldm_place.lua") (lib)
if reaper.set_action_options then reaper.set_action_options (1) end  -- 7.03: rung twice, no question
local fine, problem = pcall (function ()
  place.hello ()
  place.drain ()
  lib.start_watch ()
end)
if not fine then reaper.ShowConsoleMsg ("DC-LDM: " .. tostring (problem) .. "\n") end
reaper.defer (function () end)           -- no step in the undo list for having been rung
