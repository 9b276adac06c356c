// Environment: what getenv would say, handed down from main, so that tests say it instead.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace smalti {

// nullopt: not set. An empty value counts as not set, too.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

Environment process_environment();
Environment fixed_environment(std::map<std::string, std::string>);

}  // namespace smalti
