-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Runs in the background: a heartbeat every 2 s, and 10 times a second a look for clips and news. What is being
-- made has a small window; every word of it stands in REAPER's help line, too, and errors in its console.
local folder = reaper.GetResourcePath () .. "/Scripts/dcldm/"
local lib = dofile (folder .. "dcldm_lib.lua")
local place = loadfile (folder .. "dcldm_place.lua") (lib)
local window = loadfile (folder .. "dcldm_window.lua") (lib)
local LOOK_SECONDS, BEAT_SECONDS = 0.1, 2.0
local looked, beaten = 0, 0
local shown, old = {}                    -- job id -> what was said of it last, and before this began
local complained = ""

local function show_news ()
  local text = lib.contents (lib.spool () .. "board.txt")
  if not text then return window.show ({}) end
  local _, key = lib.project ()
  local before, rows, parts = shown, {}, {}
  shown = {}
  for id, part in text:gmatch ("part=([^\t\n]*)\t([^\n]*)\n") do parts[id] = tonumber (part) end
  for id, project, status, message in text:gmatch ("job=([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\n]*)\n") do
    if project == key or project == "" then
      shown[id] = status .. message
      local fresh = old and old[id] ~= shown[id]
      local news = fresh and before[id] ~= shown[id]
      if status == "accepted" or status == "progress" then
        rows[#rows + 1] = { id = id, message = message, part = parts[id] or 0 }
      elseif status == "error" and fresh then
        rows[#rows + 1] = { id = id, message = message }
      end
      if news and status == "preview" then                -- of a cue sheet, which was asked for just now
        if reaper.MB ((message:gsub (" | ", "\n")), "DC-LDM: Spot cues", 1) == 1 then lib.send (nil, "/dcldm/cues", id) end
      elseif news then
        reaper.Help_Set ("DC-LDM: " .. message, false)
        if status == "error" then reaper.ShowConsoleMsg ("DC-LDM: " .. message .. "\n") end
      end
    end
  end
  old = old or shown
  window.show (rows)
end

local function look ()
  local now = reaper.time_precise ()
  if now - looked < LOOK_SECONDS then return end
  looked = now
  reaper.SetExtState ("dcldm", "watch", tostring (now), false)
  if not lib.alive () then return window.show ({}) end
  if now - beaten >= BEAT_SECONDS then
    beaten = now
    place.hello ()
  end
  place.drain ()
  show_news ()
end

local function tick ()
  local fine, problem = pcall (look)
  if not fine and tostring (problem) ~= complained then  -- once, not 30 times a second
    complained = tostring (problem)
    reaper.ShowConsoleMsg ("DC-LDM: " .. complained .. "\n")
  end
  reaper.defer (tick)
end

if reaper.set_action_options then reaper.set_action_options (1 | 4) end  -- 7.03: started again, it takes over
reaper.atexit (function () reaper.DeleteExtState ("dcldm", "watch", false) end)
tick ()
