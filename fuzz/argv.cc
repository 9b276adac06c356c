// Any words are a script that makes sense, or an error that says something. Words are parted by line feeds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "cli/script.h"

namespace {

using namespace smalti;

void check(const cli::Script& script) {
  std::size_t depth = 0;
  for (const cli::Step& step : script.steps) {
    if (step.verb == cli::Verb::open) ++depth;
    if (step.verb == cli::Verb::close && depth-- == 0) std::abort();
  }
  if (depth != 0 && script.act != cli::Act::serve) std::abort();
  if (script.act == cli::Act::run && (script.steps.empty() || script.steps.back().verb != cli::Verb::write))
    std::abort();
  if (script.act == cli::Act::serve && script.serve.empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<ops::OperatorInfo> operators{{"negate", "", ""},
                                                        {"sharpen", "RADIUSxSIGMA", ""},
                                                        {"rotate", "DEGREES", ""},
                                                        {"repage", "GEOMETRY", "", true}};
  const std::string_view text(reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 4096));
  std::vector<std::string_view> words{"smalti"};
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  const auto script = cli::parse(words, operators);
  if (script)
    check(*script);
  else if (script.error().what.empty())
    std::abort();
  return 0;
}
