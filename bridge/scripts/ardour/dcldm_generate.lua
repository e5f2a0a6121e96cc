-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
ardour {
  ["type"] = "EditorAction",
  name = "DC-LDM: Generate from prompt",
  license = "GPL",
  author = "DC-LDM Plugin",
  description = "Asks for a prompt; the clips land at the playhead, on the selected range or region.",
}

function factory ()
  --common
  local PLAYHEAD, RANGE, REGION = "at the playhead", "over the selected range", "in place of the selected region"
  local prompt = ""                        -- what was typed last is offered again

  -- Where clips can go now, by what the dialog calls it; the one to offer first; its length in seconds.
  local function places ()
    local rate, selection = Session:nominal_sample_rate (), Editor:get_selection ()
    local found = { [PLAYHEAD] = { position = Session:transport_sample (), track = selected_track (), item = "" } }
    local first, seconds = PLAYHEAD, 10
    local regions = selection.regions:regionlist ()
    for region in regions:iter () do
      local track = track_of (region)
      if track and not region:to_audioregion ():isnil () then
        found[REGION] = { position = region:position ():samples (), track = track:name (), item = id_of (region) }
        seconds = region:length ():samples () / rate
      end
      break
    end
    local from, to = selection.time:start_sample (), selection.time:end_sample ()
    if from < to then
      found[RANGE] = { position = from, track = selected_track (), item = "" }
      first, seconds = RANGE, (to - from) / rate
    end
    return found, first, math.min (60, math.max (0.5, seconds))
  end

  local function generate ()
    local config = read_config ()
    if not config then return say ("The file dcldm.conf is missing. Run: dcldm install ardour") end
    -- The places are noted now, before the dialog: the playhead may roll on.
    local found, first, seconds = places ()
    local board = fields_of (contents (config.spool, "board.txt") or "")
    if os.time () - (tonumber (board.time) or 0) > 10 then
      return say ("dcldm is not running. Start it with: dcldm serve")
    end
    local where = {}
    for name in pairs (found) do where[name] = name end
    local answer = LuaDialog.Dialog ("Generate from prompt", {
      { type = "entry", key = "prompt", title = "Prompt", default = prompt },
      { type = "number", key = "seconds", title = "Seconds", min = 0.5, max = 60, step = 0.5, digits = 2, default = seconds },
      { type = "number", key = "alternates", title = "Alternates", min = 1, max = 8, step = 1, digits = 0, default = 2 },
      { type = "dropdown", key = "where", title = "Place", values = where, default = first },
      { type = "dropdown", key = "snap", title = "There falls", default = "its beginning",
        values = { ["its beginning"] = "", ["its onset"] = "onset", ["its peak"] = "peak" } },
    }):run ()
    if not answer then return end
    prompt = answer.prompt
    if #prompt > 4000 then return say ("The prompt is too long; shorten it to a few sentences.") end
    local id = string.format ("ardour-%x-%x", os.time (), ARDOUR.LuaAPI.monotonic_time ())
    local place = found[answer.where]
    -- Samples go as "d": "i" ends after 12 hours, and Ardour 7.3 sends "h" as a double anyway.
    program (config):send ("/dcldm/generate", "ssdissssdisssssss",
      id, prompt, answer.seconds, math.floor (answer.alternates + 0.5), "", "", "ardour", place.track,
      place.position, Session:nominal_sample_rate (), Session:name (), "", "", "", "", place.item, answer.snap)
  end

  return function ()
    local fine, problem = pcall (generate) -- an error that escaped would unregister the action for good
    if not fine then print ("DC-LDM: " .. tostring (problem)) end
  end
end
