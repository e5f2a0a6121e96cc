-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Registers our actions, once, and starts the script in the background. Runs with REAPER (by a line in
-- __startup.lua), or by hand: Actions, New action, Load ReaScript.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")
local SCRIPTS = {
  "dcldm_generate", "dcldm_regenerate", "dcldm_retexture", "dcldm_like", "dcldm_repair", "dcldm_again",
  "dcldm_spot", "dcldm_cancel", "dcldm_drain", "dcldm_watch",
}

local function registered ()
  local count = 0
  for id in reaper.GetExtState ("dcldm", "ids"):gmatch ("[^ ]+") do
    if reaper.NamedCommandLookup (id) == 0 then return false end
    count = count + 1
  end
  return count == #SCRIPTS
end

local function register ()
  local ids, rows = {}, {}
  for index, name in ipairs (SCRIPTS) do
    local command = reaper.AddRemoveReaScript (true, 0, lib.folder .. name .. ".lua", index == #SCRIPTS)
    if command == 0 then error ("REAPER does not take the script " .. name .. ".lua; run: dcldm install reaper", 0) end
    ids[index] = "_" .. reaper.ReverseNamedCommandLookup (command)
    rows[index] = name .. "=" .. ids[index] .. "\n"
  end
  reaper.SetExtState ("dcldm", "ids", table.concat (ids, " "), true)
  reaper.SetExtState ("dcldm", "watch_id", ids[#ids], true)
  lib.write ("ids.txt", table.concat (rows), true)
end

local fine, problem = pcall (function ()
  if not registered () then register () end
  lib.start_watch ()
end)
if not fine then reaper.ShowConsoleMsg ("DC-LDM: " .. tostring (problem) .. "\n") end
reaper.defer (function () end)
