// Running a script: pictures in, operators, pictures out.
#pragma once

#include <functional>
#include <string>

#include "cli/script.h"
#include "ops/picture.h"

namespace smalti::cli {

// A line for people; complete, without a line feed. Any thread.
using Say = std::function<void(const std::string&)>;

// Does the steps in their order. `say` gets what -verbose tells of each picture read and written. The first
// error ends it; what was written before stays, nothing half-written does. Where files are only described, one
// that is no picture keeps no other from it: `complain` gets all errors but the last, which is returned.
Result<void> run_steps(const Script&, const ops::Workshop&, const Call&, const std::string& temporary,
                       const Say& say, const Say& complain = {});

// Which of `count` images "0,2", "1-3", "-1" or "0--1" select, in that order. Fails with invalid where there
// is no such image.
Result<std::vector<std::size_t>> select_images(std::string_view indexes, std::size_t count);

}  // namespace smalti::cli
