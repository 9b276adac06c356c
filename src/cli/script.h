// Script: what a command line says. argv is a language, read left to right as ImageMagick 7 reads it; parsing
// it is pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "house/config.h"
#include "net/host_port.h"
#include "ops/picture.h"

namespace smalti::cli {

enum class Act : std::uint8_t {
  run,       // steps: read, apply, write
  identify,  // steps: read and describe each file; no pixels
  serve,     // a pixel server
  erase,     // -delete-cache NAME
  repair,    // -repair-cache NAME
  probe,     // which of ImageMagick's handshakes a program speaks
  list,      // -list WHAT
  version,
  help,
};

enum class Verb : std::uint8_t {
  read,     // name: a file; its images join the current list
  apply,    // name, argument: an operator, to every image of the current list
  write,    // name: a file; the current list stays
  open,     // "(": a new, empty list
  close,    // ")": its images join the list around it
  clone,    // argument: which images ("-1" the last) of the list around, or of the current one where there is
            // none
  remove,   // argument: which images of the current list
  swap,     // argument: two images of the current list
  reverse,  // the current list
};

struct Step {
  Verb verb = Verb::read;
  std::string name;
  std::string argument;
  ops::Settings settings;  // in force at this place; of -define too, under their whole key

  bool operator==(const Step&) const = default;
};

struct Script {
  Act act = Act::run;
  std::vector<Step> steps;
  house::Asked asked;
  std::vector<HostPort> serve;  // where; an empty host means every address of this host
  std::string list;             // what
  std::vector<std::string> names;  // of images: to be erased, or repaired
  std::string probe;            // the program
  bool verbose = false;
  bool quiet = false;  // no warnings
  bool monitor = false;
  bool debug_cache = false;
};

// argv[0] is the program's name: as `identify` it describes files; under any other (smalti, magick, convert)
// it is itself. A first word `magick`, `convert` or `identify` says the same. Limits and defines of ours hold
// for the whole command, wherever they stand; settings and operators go left to right. Fails with invalid
// (unsupported for commands of ImageMagick that are not offered) and names the option; an unknown one is
// answered with the nearest known.
Result<Script> parse(std::span<const std::string_view> argv, std::span<const ops::OperatorInfo> operators);

}  // namespace smalti::cli
