-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
ardour {
  ["type"] = "EditorAction",
  name = "DC-LDM: Spot cues",
  license = "GPL",
  author = "DC-LDM Plugin",
  description = "A sound for every marker and range, by its name, or for every row of a cue sheet.",
}

function factory ()
  --common
  local BOTH, MARKERS, RANGES, SHEET = "markers and ranges", "markers only", "ranges only", "a cue sheet (CSV file)"
  local LAST = "the last run, where it stopped"

  -- Markers and ranges as a cue sheet; its path, or nil if there are none.
  local function write_sheet (from, prefix)
    local text, count = cue_sheet (from ~= RANGES, from ~= MARKERS, prefix)
    local path = ARDOUR.LuaAPI.build_filename (Session:path (), "dcldm-cues.csv")
    return count > 0 and write_file (path, text) and path or nil
  end

  local function spot ()
    local config = read_config ()
    if not config then return say ("The file dcldm.conf is missing. Run: dcldm install ardour") end
    local board = fields_of (contents (config.spool, "board.txt") or "")
    if os.time () - (tonumber (board.time) or 0) > 10 then
      return say ("dcldm is not running. Start it with: dcldm serve")
    end
    local answer = LuaDialog.Dialog ("Spot cues", {
      { type = "entry", key = "prefix", title = "Only names that begin with", default = "" },
      { type = "number", key = "seconds", title = "Seconds, where none are given", min = 0.5, max = 60, step = 0.5, digits = 2, default = 10 },
      { type = "number", key = "alternates", title = "Alternates", min = 1, max = 8, step = 1, digits = 0, default = 1 },
      { type = "dropdown", key = "from", title = "Prompts from", default = BOTH,
        values = { [BOTH] = BOTH, [MARKERS] = MARKERS, [RANGES] = RANGES, [SHEET] = SHEET, [LAST] = LAST } },
      { type = "dropdown", key = "snap", title = "There falls", default = "its beginning",
        values = { ["its beginning"] = "", ["its onset"] = "onset", ["its peak"] = "peak" } },
      { type = "file", key = "sheet", title = "Cue sheet", path = Session:path () },
    }):run ()
    if not answer then return end
    local note = ARDOUR.LuaAPI.build_filename (Session:path (), "dcldm-run.txt")
    if answer.from == LAST then
      local run = contents (note)
      if not run then return say ("Nothing was spotted in this session yet.") end
      return program (config):send ("/dcldm/cues", "s", run)
    end
    local path = answer.sheet
    if answer.from ~= SHEET then
      path = write_sheet (answer.from, answer.prefix)
      if not path then return say ("There are no such markers or ranges; name some by the sound that belongs there.") end
    end
    if #path > 4000 then return say ("The path of the cue sheet is too long for this.") end
    local id = string.format ("ardour-%x-%x", os.time (), ARDOUR.LuaAPI.monotonic_time ())
    local file = io.open (note, "w")
    if file then
      file:write (id)
      file:close ()
    end
    -- The program reads it and says what would be done; the hook asks whether to go on.
    program (config):send ("/dcldm/cues/check", "ssssisssdis", id, path, "ardour", Session:name (),
      Session:nominal_sample_rate (), "", "", selected_track (), answer.seconds,
      math.floor (answer.alternates + 0.5), answer.snap)
  end

  return function ()
    local fine, problem = pcall (spot)     -- an error that escaped would unregister the action for good
    if not fine then print ("DC-LDM: " .. tostring (problem)) end
  end
end
