-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
ardour {
  ["type"] = "EditorAction",
  name = "DC-LDM: Generate from prompt",
  license = "GPL",
  author = "DC-LDM Plugin",
  description = "Asks for a prompt; the clips land on the selected track where the playhead is now.",
}

function factory ()
  local prompt = ""                        -- what was typed last is offered again

  local function say (text)
    LuaDialog.Message ("DC-LDM", text, LuaDialog.MessageType.Warning, LuaDialog.ButtonType.Close):run ()
  end

  local function read (...)                -- "name=value" lines of a file, or nil
    local file = io.open (ARDOUR.LuaAPI.build_filename (...), "r")
    if not file then return nil end
    local fields = {}
    for line in file:lines () do
      local name, value = line:match ("^([%w_]+)=(.*)$")
      if name then fields[name] = value end
    end
    file:close ()
    return fields
  end

  local function selected_track ()
    for route in Editor:get_selection ().tracks:routelist ():iter () do
      local track = route:to_track ()
      if not track:isnil () and not track:to_audio_track ():isnil () then return route:name () end
    end
    return ""                              -- a new one
  end

  local function generate ()
    local config = read (ARDOUR.user_config_directory (-1), "scripts", "dcldm.conf")
    if not config then return say ("The file dcldm.conf is missing. Run: dcldm install ardour") end
    -- The place is noted now, before the dialog: the playhead may roll on.
    local position, track = Session:transport_sample (), selected_track ()
    local board = read (config.spool, "board.txt")
    if not board or os.time () - (tonumber (board.time) or 0) > 10 then
      return say ("dcldm is not running. Start it with: dcldm serve")
    end
    local answer = LuaDialog.Dialog ("Generate from prompt", {
      { type = "entry", key = "prompt", title = "Prompt", default = prompt },
      { type = "number", key = "seconds", title = "Seconds", min = 0.5, max = 60, step = 0.5, digits = 1, default = 10 },
      { type = "number", key = "alternates", title = "Alternates", min = 1, max = 8, step = 1, digits = 0, default = 2 },
    }):run ()
    if not answer then return end
    prompt = answer.prompt
    if #prompt > 4000 then return say ("The prompt is too long; shorten it to a few sentences.") end
    local id = string.format ("ardour-%x-%x", os.time (), ARDOUR.LuaAPI.monotonic_time ())
    -- Samples go as "d": "i" ends after 12 hours, and Ardour 7.3 sends "h" as a double anyway.
    ARDOUR.LuaOSC.Address ("osc.udp://127.0.0.1:" .. config.port):send ("/dcldm/generate", "ssdissssdis",
      id, prompt, answer.seconds, math.floor (answer.alternates + 0.5), "", "", "ardour", track,
      position, Session:nominal_sample_rate (), Session:name ())
  end

  return function ()
    local fine, problem = pcall (generate) -- an error that escaped would unregister the action for good
    if not fine then print ("DC-LDM: " .. tostring (problem)) end
  end
end
