  -- What all our scripts share; put into each of them in place of its line "common".

  local function contents (...)            -- of a file, or nil
    local file = io.open (ARDOUR.LuaAPI.build_filename (...), "r")
    if not file then return nil end
    local text = file:read ("a")
    file:close ()
    return text
  end

  local function fields_of (text)          -- "name=value" lines
    local fields = {}
    for name, value in text:gmatch ("([%w_]+)=([^\n]*)\n") do fields[name] = value end
    return fields
  end

  local function read_config ()            -- where the program is, or nil
    local text = contents (ARDOUR.user_config_directory (-1), "scripts", "dcldm.conf")
    return text and fields_of (text)
  end

  local function program (config)
    return ARDOUR.LuaOSC.Address ("osc.udp://127.0.0.1:" .. config.port)
  end

  local function say (text)
    LuaDialog.Message ("DC-LDM", text, LuaDialog.MessageType.Warning, LuaDialog.ButtonType.Close):run ()
  end

  local function audio_track (route)
    local track = route:to_track ()
    if not track:isnil () and not track:to_audio_track ():isnil () then return track end
  end

  local function selected_track ()
    local routes = Editor:get_selection ().tracks:routelist ()
    for route in routes:iter () do
      if audio_track (route) then return route:name () end
    end
    return ""                              -- a new one
  end

  local function id_of (region) return region:to_stateful ():id ():to_s () end

  local function track_of (region)         -- that the region lies on, by its id
    local tracks = Session:get_tracks ()
    for route in tracks:iter () do
      local track = route:to_track ()
      if not track:playlist ():region_by_id (region:to_stateful ():id ()):isnil () then return track end
    end
  end

  -- What this session has received from us: "job clip region" for each placed clip, and "file" lines for
  -- clips that Ardour had to convert: its own copy, a tab, our file. Region ids mean something in this
  -- session only, so the list lives with it.
  local function ledger_path () return ARDOUR.LuaAPI.build_filename (Session:path (), "dcldm-placed.txt") end

  local function note (...)
    local file = io.open (ledger_path (), "a")
    if not file then return end
    file:write (...)
    file:close ()
  end

  local function file_of (region)          -- the path of the clip that a region plays
    local source = region:source (0):to_filesource ()
    if source:isnil () then return "" end
    local path = source:path ()
    for copy, clip in (contents (ledger_path ()) or ""):gmatch ("file ([^\t\n]+)\t([^\n]+)\n") do
      if copy == path then return clip end
    end
    return path
  end
