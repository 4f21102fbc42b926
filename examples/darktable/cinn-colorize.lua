--[[ darktable: colorizations of the selected pictures, drawn by the program cinn-colorize.

Copy this file to the folder lua/ of darktable's configuration (~/.config/darktable/lua on Linux) and add to the
file luarc in that configuration:

    require "cinn-colorize"

Then "colorize" in the module "actions on selection" of the lighttable develops each picture as a TIFF of 16 bits beside
it and draws its colorizations, which are imported and grouped with it. Preferences > Lua options say how many, and
where the program is.
]]
local dt = require "darktable"

local NAME = "cinn-colorize"

dt.preferences.register(NAME, "program", "string", NAME .. ": program", "name or path of the program", NAME)
dt.preferences.register(NAME, "number", "integer", NAME .. ": number", "colorizations of each picture", 4, 1, 64)

local function quoted(text)
  if dt.configuration.running_os == "windows" then
    return '"' .. text .. '"'
  end
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Return the paths of a picture's colorizations that are there, seed 0 first.
local function drawn_of(stem, number)
  local paths = {}
  for seed = 0, number - 1 do
    local path = string.format("%s_%03d.tif", stem, seed)
    local file = io.open(path, "rb")
    if file then
      file:close()
      paths[#paths + 1] = path
    end
  end
  return paths
end

local function colorize_one(image, program, number)
  local folder = image.path
  local stem = folder .. "/" .. image.filename:gsub("%.[^.]*$", "") .. "_gray"
  local tiff = dt.new_format("tiff")
  tiff.bpp = 16
  tiff:write_image(image, stem .. ".tif")
  local words = { program, stem .. ".tif", "-n", tostring(number), "--seed", "0", "--no-sheet", "-q", "-o", folder }
  for k, word in ipairs(words) do
    words[k] = quoted(word)
  end
  local command = table.concat(words, " ")
  if dt.configuration.running_os == "windows" then
    command = '"' .. command .. '"' -- cmd.exe takes the outer pair away
  end
  local failed = dt.control.execute(command) ~= 0
  os.remove(stem .. ".tif")
  if failed then
    return false
  end
  for _, path in ipairs(drawn_of(stem, number)) do
    dt.database.import(path):group_with(image)
  end
  return true
end

-- Colorize images one after the other; darktable can be used meanwhile.
local function colorize(images)
  local program = dt.preferences.read(NAME, "program", "string")
  local number = dt.preferences.read(NAME, "number", "integer")
  local job = dt.gui.create_job("colorizing", true)
  local done = 0
  for _, image in ipairs(images) do
    if colorize_one(image, program, number) then
      done = done + 1
    else
      dt.print(image.filename .. ": " .. program .. " failed; is its path in the Lua options right?")
    end
    job.percent = math.min(1, done / #images)
  end
  job.valid = false
  dt.print(string.format("%d of %d pictures colorized", done, #images))
end

dt.gui.libs.image.register_action(NAME, "colorize", function(_, images)
  colorize(images)
end, "draw colorizations of the selected pictures with " .. NAME)

return colorize
