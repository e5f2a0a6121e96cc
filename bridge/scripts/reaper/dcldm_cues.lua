-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- What is written in a project as a cue sheet: for our action, and for the program's window.
local lib = ...
local cues = {}

local function quoted (text) return '"' .. text:gsub ("%s+", " "):gsub ('"', '""') .. '"' end

local function row (time, length, prompt, track)
  return ("%.9f,%s,%s,%s\n"):format (time, length > 0 and ("%.9f"):format (length) or "", quoted (prompt), quoted (track))
end

-- Words of the project as the text of a cue sheet, and how many. `from` names the kinds; each begins with `prefix`,
-- left out here. `here`: as of `lib.here`; the track is that of markers and regions.
function cues.sheet (here, from, prefix)
  local rows, project = { "time,length,prompt,track\n" }, here.handle
  local function add (time, length, text, track)
    if text:sub (1, #prefix) == prefix and text:find ("%S", #prefix + 1) then
      rows[#rows + 1] = row (time, length, text:sub (#prefix + 1), track)
    end
  end
  for index = 0, reaper.CountProjectMarkers (project) - 1 do
    local _, is_region, time, ending, name = reaper.EnumProjectMarkers3 (project, index)
    if from:find (is_region and "region" or "marker") then
      add (time, is_region and ending - time or 0, name, here.track)
    end
  end
  if from:find ("item") then
    for index = 0, reaper.CountMediaItems (project) - 1 do
      local item = reaper.GetMediaItem (project, index)
      if reaper.CountTakes (item) == 0 then
        local _, notes = reaper.GetSetMediaItemInfo_String (item, "P_NOTES", "", false)
        add (reaper.GetMediaItemInfo_Value (item, "D_POSITION"), reaper.GetMediaItemInfo_Value (item, "D_LENGTH"),
          notes, lib.track_guid (reaper.GetMediaItem_Track (item)))
      end
    end
  end
  if from:find ("track") then
    local in_range = here.to > here.from
    for index = 0, reaper.CountSelectedTracks (project) - 1 do
      local track = reaper.GetSelectedTrack2 (project, index, false)
      add (in_range and here.from or here.cursor, in_range and here.to - here.from or 0,
        lib.track_name (track), lib.track_guid (track))
    end
  end
  return table.concat (rows), #rows - 1
end

return cues
