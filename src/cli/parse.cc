#include <fmt/format.h>

#include <array>
#include <vector>

#include "cli/options.h"
#include "cli/script.h"
#include "policy/words.h"

namespace smalti::cli {

namespace {

// Commands of ImageMagick's that are programs of their own and not offered.
constexpr std::array<std::string_view, 9> other_commands{
    "animate", "compare", "composite", "conjure", "display", "import", "mogrify", "montage", "stream"};

std::string_view base_name(std::string_view path) noexcept {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// "-5" and "-" are words, "-negate" and "+clone" options.
bool is_option(std::string_view word) noexcept {
  return word.size() > 1 && (word[0] == '-' || word[0] == '+') &&
         ((word[1] >= 'a' && word[1] <= 'z') || (word[1] >= 'A' && word[1] <= 'Z') || word[1] == '-');
}

class Parser {
 public:
  Parser(std::span<const std::string_view> words, std::span<const ops::OperatorInfo> operators)
      : words_(words), operators_(operators) {}

  Result<Script> parse(bool identify) {
    if (identify) line_.script.act = Act::identify;
    while (at_ < words_.size()) SMALTI_CHECK(word());
    return finish();
  }

 private:
  Result<void> word() {
    const std::string_view text = words_[at_++];
    if (text == "(" || text == ")") return parenthesis(text == "(");
    if (is_option(text)) return option(text);
    if (text.empty()) return fail(Errc::invalid, "an empty word is no file name");
    // The last word is where the result goes, except where files are only described.
    const bool last = at_ == words_.size();
    if (last && line_.script.act == Act::run) return output(text);
    add(Verb::read, text, "");
    line_.images = true;
    return {};
  }

  Result<void> output(std::string_view name) {
    if (line_.depth > 0) return fail(Errc::invalid, fmt::format("unbalanced parenthesis before `{}'", name));
    if (!line_.images)
      return fail(
          Errc::invalid,
          fmt::format("no images defined `{}': the last word is the output, and no input stands before it",
                      name));
    add(Verb::write, name, "");
    written_ = true;
    return {};
  }

  Result<void> parenthesis(bool opens) {
    if (!opens && line_.depth == 0) return fail(Errc::invalid, "unbalanced parenthesis `)'");
    line_.depth += opens ? 1 : static_cast<std::size_t>(-1);
    add(opens ? Verb::open : Verb::close, "", "");
    return {};
  }

  Result<void> option(std::string_view text) {
    const bool plus = text[0] == '+';
    std::string_view name = text.substr(1);
    if (name.starts_with('-')) name.remove_prefix(1);  // --version
    if (name == "h" && !plus) name = "help";
    const OptionRow* row = option_named(name);
    const ops::OperatorInfo* info = operator_named(plus, name);
    if (row && !(plus ? row->plus : row->minus)) row = nullptr;
    if (!row && !info) return unknown(text, name);
    const std::size_t takes =
        info ? (plus || info->argument.empty() ? 0 : 1) : (plus ? row->plus_words : row->words);
    if (words_.size() - at_ < takes)
      return fail(Errc::invalid,
                  fmt::format("option requires an argument `{}'{}", text,
                              row && !row->argument.empty() ? fmt::format(": {}", row->argument)
                              : info                        ? fmt::format(": {}", info->argument)
                                                            : ""));
    const auto arguments = words_.subspan(at_, takes);
    at_ += takes;
    // What is both (-depth) is a setting from here on, and done to what has been read.
    if (row) {
      const Use use{*row, plus, arguments};
      if (row->check && !plus) SMALTI_CHECK(row->check(use));
      SMALTI_CHECK(row->take(line_, use));
    }
    if (!info || (row && !line_.images)) return {};
    return apply(text, *info, arguments);
  }

  Result<void> apply(std::string_view text, const ops::OperatorInfo& info,
                     std::span<const std::string_view> arguments) {
    if (!line_.images)
      return fail(Errc::invalid,
                  fmt::format("no images found for operation `{}': name an input before it", text));
    const std::string_view argument = arguments.empty() ? std::string_view() : arguments[0];
    if (!arguments.empty() && implausible(info.argument, argument))
      return bad_argument(text, argument, info.argument);
    // Of a form of its own the sign counts; "+repage" is but -repage without its argument.
    add(Verb::apply, info.joins && text[0] == '+' ? "+" + std::string(info.name) : std::string(info.name), argument);
    return {};
  }

  const ops::OperatorInfo* operator_named(bool plus, std::string_view name) const noexcept {
    for (const ops::OperatorInfo& info : operators_)
      if (info.name == name && (!plus || info.plus)) return &info;
    return nullptr;
  }

  Result<void> unknown(std::string_view text, std::string_view name) const {
    std::vector<std::string_view> known;
    for (const OptionRow& row : option_table()) known.push_back(row.name);
    for (const ops::OperatorInfo& info : operators_) known.push_back(info.name);
    const auto near = nearest_word(name, known);
    if (near && *near == name)  // known, but not in this form
      return fail(Errc::invalid, fmt::format("unrecognized option `{}': there is only `{}{}'", text,
                                             text[0] == '+' ? '-' : '+', name));
    return fail(Errc::invalid,
                fmt::format("unrecognized option `{}'{}", text,
                            near ? fmt::format(": did you mean `{}{}'?", text[0], *near) : ""));
  }

  void add(Verb verb, std::string_view name, std::string_view argument) {
    line_.script.steps.push_back({verb, std::string(name), std::string(argument), line_.settings});
  }

  Result<Script> finish() {
    Script& script = line_.script;
    if (script.act == Act::serve && !script.steps.empty())
      return fail(Errc::invalid,
                  fmt::format("-distribute-cache takes no pictures: `{}'", script.steps.front().name));
    if ((script.act == Act::erase || script.act == Act::repair) && !script.steps.empty())
      return fail(Errc::invalid, fmt::format("-{}-cache takes no pictures: `{}'",
                                             script.act == Act::erase ? "delete" : "repair", script.steps.front().name));
    if (script.act == Act::probe && !script.steps.empty())
      return fail(Errc::invalid,
                  fmt::format("-probe-client takes no pictures: `{}'", script.steps.front().name));
    if (line_.depth > 0) return fail(Errc::invalid, "unbalanced parenthesis `('");
    if (script.act == Act::identify) {
      if (script.steps.empty())
        return fail(Errc::invalid, "missing an image filename: name what to identify");
      add(Verb::write, "info:", "");
    }
    if (script.act == Act::run && !written_) {
      if (script.steps.empty() && !line_.images && words_.empty())
        script.act = Act::help;
      else
        return fail(Errc::invalid,
                    "missing an output filename: the last word of the command is where the result goes");
    }
    return std::move(script);
  }

  const std::span<const std::string_view> words_;
  const std::span<const ops::OperatorInfo> operators_;
  std::size_t at_ = 0;
  bool written_ = false;
  Line line_;
};

}  // namespace

Result<Script> parse(std::span<const std::string_view> argv, std::span<const ops::OperatorInfo> operators) {
  const std::string_view program = argv.empty() ? std::string_view() : base_name(argv[0]);
  std::span<const std::string_view> words = argv.empty() ? argv : argv.subspan(1);
  bool identify = program == "identify";
  if (!words.empty() && !identify) {
    for (const std::string_view command : other_commands)
      if (words[0] == command)
        return fail(Errc::unsupported,
                    fmt::format("the command `{}' is not offered: there are convert and identify", command));
    identify = words[0] == "identify";
    if (identify || words[0] == "convert" || words[0] == "magick") words = words.subspan(1);
  }
  return Parser(words, operators).parse(identify);
}

}  // namespace smalti::cli
