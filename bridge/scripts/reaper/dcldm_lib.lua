-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- What all of our scripts share. Both ways go through files: `dcldm.conf` beside this one names the folder.
local lib = {}

lib.folder = reaper.GetResourcePath () .. "/Scripts/dcldm/"
lib.HOST = "reaper"
local ALIVE_SECONDS = 10                 -- since the program's last heartbeat

function lib.contents (path)
  local file = io.open (path, "rb")
  if not file then return nil end
  local text = file:read ("a")
  file:close ()
  return text
end

function lib.fields (text)               -- "name=value" lines
  local fields = {}
  for name, value in text:gmatch ("([%w_]+)=([^\r\n]*)") do fields[name] = value end
  return fields
end

local spool
function lib.spool ()
  if not spool then
    local text = lib.contents (lib.folder .. "dcldm.conf")
    if not text then error ("The file dcldm.conf is missing. Run: dcldm install reaper", 0) end
    spool = lib.fields (text).spool .. "/"
  end
  return spool
end

function lib.alive ()
  local board = lib.contents (lib.spool () .. "board.txt")
  local time = board and tonumber (lib.fields (board).time)
  return time ~= nil and os.time () - time <= ALIVE_SECONDS
end

local function guid ()
  return (reaper.genGuid (""):gsub ("[^%w]", ""):lower ())
end

function lib.new_id ()                   -- remembered, so that it can be cancelled
  local id = ("reaper-%x-%s"):format (os.time (), guid ():sub (1, 12))
  reaper.SetExtState ("dcldm", "last", id, false)
  return id
end

-- A file appears under its name when it is complete. Windows does not rename onto a file that is there.
function lib.write (name, text, replace)
  local path = lib.spool () .. name
  local part = path .. ".part"
  local file = assert (io.open (part, "wb"))
  local fine, problem = file:write (text)
  file:close ()
  if not fine then os.remove (part) error (problem, 0) end
  if replace then os.remove (path) end
  assert (os.rename (part, path))
  return path
end

local function line (value)
  if math.type (value) == "integer" then return "i " .. value end
  if math.type (value) == "float" then return ("f %.17g"):format (value) end
  return "s " .. tostring (value):gsub ("\\", "\\\\"):gsub ("\r", "\\r"):gsub ("\n", "\\n")
end

-- One message of the program's OSC API, as a file: the address, then an argument a line. With a name it
-- replaces the one of this name that was not read yet.
function lib.send (name, address, ...)
  local rows = { address }
  for index = 1, select ("#", ...) do rows[index + 1] = line ((select (index, ...))) end
  local text = table.concat (rows, "\n") .. "\n"
  if name then return lib.write ("outbox/" .. name .. ".msg", text, true) end
  lib.write (("outbox/%011d-%017.6f-%s.msg"):format (os.time (), reaper.time_precise (), guid ():sub (1, 8)), text)
end

-- The project -----------------------------------------------------------------------------------------

-- A project's name may change and an unsaved one has none, so it keeps a mark of ours.
local function key_of (project, path)
  local _, mark = reaper.GetProjExtState (project, "dcldm", "id")
  if not mark or mark == "" then
    mark = guid ():sub (1, 8)
    reaper.SetProjExtState (project, "dcldm", "id", mark)
  end
  local name = path:match ("([^/\\]+)%.[^.]*$") or "unsaved"
  return name .. " [" .. mark .. "]", mark
end

function lib.project ()                  -- handle, key, media folder ("" while it is not saved)
  local project, path = reaper.EnumProjects (-1, "")
  return project, (key_of (project, path)), path ~= "" and reaper.GetProjectPathEx (project, "") or ""
end

function lib.find_project (key)          -- among all tabs; any, where none is named
  if key == "" then return (reaper.EnumProjects (-1, "")) end
  local mark, similar = key:match ("%[(%w+)%]$"), nil
  for index = 0, 255 do
    local project, path = reaper.EnumProjects (index, "")
    if not project then return similar end
    local its_key, its_mark = key_of (project, path)
    if its_key == key then return project end
    if its_mark == mark then similar = similar or project end  -- saved under another name since
  end
end

function lib.rate (project)              -- Hz
  if reaper.GetSetProjectInfo (project, "PROJECT_SRATE_USE", 0, false) == 1 then
    return math.tointeger (reaper.GetSetProjectInfo (project, "PROJECT_SRATE", 0, false) // 1)
  end
  local fine, rate = reaper.GetAudioDeviceInfo ("SRATE", "")
  return fine and math.tointeger (tonumber (rate)) or 48000
end

function lib.samples (seconds, rate)
  return math.floor (seconds * rate + 0.5)
end

function lib.track_guid (track)
  if not track then return "" end
  local _, id = reaper.GetSetMediaTrackInfo_String (track, "GUID", "", false)
  return id
end

function lib.item_guid (item)
  local _, id = reaper.GetSetMediaItemInfo_String (item, "GUID", "", false)
  return id
end

function lib.track_name (track)
  local _, name = reaper.GetTrackName (track, "")
  return name
end

function lib.file_of (take)              -- the file that a take plays, also from a section of it
  local source = take and not reaper.TakeIsMIDI (take) and reaper.GetMediaItemTake_Source (take) or nil
  while source do
    local path = reaper.GetMediaSourceFileName (source, "")
    if path ~= "" then return path end
    source = reaper.GetMediaSourceParent (source)
  end
  return ""
end

-- Where the user is: all that a request says of its place.
function lib.here ()
  local project, key, folder = lib.project ()
  local here = { project = key, folder = folder, rate = lib.rate (project), handle = project }
  local track = reaper.GetSelectedTrack2 (project, 0, false)
  here.cursor = reaper.GetCursorPositionEx (project)
  here.from, here.to = reaper.GetSet_LoopTimeRange2 (project, false, false, 0, 0, false)
  local item = reaper.GetSelectedMediaItem (project, 0)
  if item then
    local take = reaper.GetActiveTake (item)
    here.item = {
      handle = item,
      take = take,
      guid = lib.item_guid (item),
      position = reaper.GetMediaItemInfo_Value (item, "D_POSITION"),
      length = reaper.GetMediaItemInfo_Value (item, "D_LENGTH"),
      file = lib.file_of (take),
      notes = select (2, reaper.GetSetMediaItemInfo_String (item, "P_NOTES", "", false)),
      track = lib.track_guid (reaper.GetMediaItem_Track (item)),
    }
  end
  here.track = lib.track_guid (track)
  here.track_name = track and lib.track_name (track) or ""
  return here
end

-- The dialogs -----------------------------------------------------------------------------------------

function lib.say (text)
  reaper.MB (text, "DC-LDM", 0)
end

-- Ask for several values. `rows`: { caption, default }. Returns them as texts, or nothing.
function lib.ask (title, rows)
  local captions, defaults = {}, {}
  for index, row in ipairs (rows) do
    captions[index] = row[1]
    defaults[index] = (tostring (row[2]):gsub ("%s+", " "))
  end
  captions[#captions + 1] = "extrawidth=360"
  captions[#captions + 1] = "separator=\n"     -- prompts have commas
  local fine, text = reaper.GetUserInputs ("DC-LDM: " .. title, #rows, table.concat (captions, ","),
    table.concat (defaults, "\n"))
  if not fine then return nil end
  local values = {}
  for value in (text .. "\n"):gmatch ("([^\n]*)\n") do values[#values + 1] = value end
  return values
end

function lib.number (text, what)
  local number = tonumber ((text:gsub (",", ".")))
  if not number then error (("%q is not a number; give %s as one, such as 2."):format (text, what), 0) end
  return number + 0.0
end

function lib.whole (text, what)
  local number = math.tointeger (lib.number (text, what))
  if not number then error (("%q is not a whole number; give %s as one."):format (text, what), 0) end
  return number
end

-- Words of the API in its order --------------------------------------------------------------------------

function lib.generate (here, at, ask)    -- at: position (seconds), track, item; ask: what was typed
  lib.send (nil, "/dcldm/generate", lib.new_id (), ask.prompt, ask.seconds, ask.variations, "", "",
    lib.HOST, at.track, lib.samples (at.position, here.rate), here.rate, here.project,
    ask.like or "", ask.weight or "", 0, 0.0, at.item or "", ask.snap or "")
end

function lib.vary (here, control, ask)   -- on the selected item
  local item = here.item
  lib.send (nil, "/dcldm/vary", lib.new_id (), item.file, control, ask.amount or "", ask.from or 0.0, ask.to or 0.0,
    "", ask.prompt or "", "", ask.variations or 1, "", "",
    lib.HOST, item.track, lib.samples (item.position, here.rate), here.rate, here.project, "", "", item.guid, "")
end

function lib.again (here)
  local item = here.item
  lib.send (nil, "/dcldm/again", lib.new_id (), item.file, "",
    lib.HOST, item.track, lib.samples (item.position, here.rate), here.rate, here.project, item.guid, "")
end

-- Start the script that places clips and shows news, if it does not run.
function lib.start_watch ()
  local beat = tonumber (reaper.GetExtState ("dcldm", "watch"))
  if beat and reaper.time_precise () - beat < 3 then return true end
  local id = reaper.GetExtState ("dcldm", "watch_id")
  local command = id ~= "" and reaper.NamedCommandLookup (id) or 0
  if command == 0 then return false end
  reaper.Main_OnCommand (command, 0)
  return true
end

-- Run an action: whatever goes wrong is one sentence, and looking around is no step to undo.
function lib.act (action, needs_item)
  local fine, problem = pcall (function ()
    if not lib.alive () then error ("dcldm is not running. Start it with: dcldm serve", 0) end
    local here = lib.here ()                   -- now, before any dialog: the playhead may roll on
    if needs_item and not (here.item and here.item.file ~= "") then
      error ("Select an item with audio first.", 0)
    end
    lib.start_watch ()
    action (here)
  end)
  if not fine then lib.say (tostring (problem)) end
  reaper.defer (function () end)
end

return lib
