#include "policy/policy_xml.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <pugixml.hpp>
#include <utility>

#include "policy/words.h"

namespace smalti {

namespace {

constexpr std::size_t most_items = 10'000;
constexpr std::size_t longest_word = 64;  // of hostile text in messages

constexpr std::array<std::string_view, 9> domains{"Undefined", "Cache", "Coder",    "Delegate", "Filter",
                                                  "Module",    "Path",  "Resource", "System"};

class Reader {
 public:
  Reader(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  Result<std::vector<PolicyItem>> read() {
    if (text_.size() > longest_policy) return wrong(0, fmt::format("longer than {} bytes", longest_policy));
    if (const std::size_t nul = text_.find('\0'); nul != std::string_view::npos)
      return wrong(nul, "a zero byte, which no policy has");
    pugi::xml_document document;
    const auto parsed =
        document.load_buffer(text_.data(), text_.size(), pugi::parse_cdata, pugi::encoding_utf8);
    if (!parsed)
      return wrong(static_cast<std::size_t>(std::max<std::ptrdiff_t>(parsed.offset, 0)),
                   parsed.description());
    bool found = false;
    for (const pugi::xml_node node : document.children()) {
      if (node.type() != pugi::node_element) continue;
      if (!same_word(node.name(), "policymap")) return wrong_node(node, "expected <policymap>");
      found = true;
      SMALTI_CHECK(read_map(node));
    }
    if (!found) return wrong(text_.size(), "no <policymap>");
    return std::move(items_);
  }

 private:
  Result<void> read_map(pugi::xml_node map) {
    for (const pugi::xml_node node : map.children()) {
      if (node.type() != pugi::node_element) continue;
      if (items_.size() == most_items) return wrong_node(node, "too many entries");
      if (same_word(node.name(), "policy")) {
        SMALTI_CHECK(read_entry(node));
      } else if (same_word(node.name(), "include")) {
        SMALTI_CHECK(read_include(node));
      } else {
        return wrong_node(node, "expected <policy> or <include>");
      }
    }
    return {};
  }

  Result<void> read_entry(pugi::xml_node node) {
    PolicyEntry entry;
    entry.file = file_;
    entry.line = line_at(offset_of(node));
    for (const pugi::xml_attribute attribute : node.attributes()) {
      const std::string_view key = attribute.name();
      const std::string_view value = attribute.value();
      if (same_word(key, "domain")) {
        const auto at = std::find_if(domains.begin(), domains.end(),
                                     [value](std::string_view known) { return same_word(known, value); });
        if (at == domains.end())
          return wrong_node(node, fmt::format("unknown domain `{}'", value.substr(0, longest_word)));
        entry.domain = static_cast<Domain>(at - domains.begin());
      } else if (same_word(key, "stealth")) {
        const auto flag = parse_flag(value);
        if (!flag)
          return wrong_node(node,
                            fmt::format("stealth is `{}', not true or false", value.substr(0, longest_word)));
        entry.stealth = *flag;
      } else if (same_word(key, "name")) {
        entry.name = value;
      } else if (same_word(key, "value")) {
        entry.value = value;
      } else if (same_word(key, "rights")) {
        entry.rights = value;
      } else if (same_word(key, "pattern")) {
        entry.pattern = value;
      }
    }
    items_.emplace_back(std::move(entry));
    return {};
  }

  Result<void> read_include(pugi::xml_node node) {
    const std::string target = node.attribute("file").value();
    if (target.empty()) return wrong_node(node, "<include> names no file");
    items_.emplace_back(PolicyInclude{target, line_at(offset_of(node))});
    return {};
  }

  static std::size_t offset_of(pugi::xml_node node) {
    return static_cast<std::size_t>(std::max<std::ptrdiff_t>(node.offset_debug(), 0));
  }

  // Counts on from the last answer: items come in the order of the text, and a million lines stay cheap.
  std::uint32_t line_at(std::size_t offset) {
    const std::size_t end = std::min(offset, text_.size());
    if (end < counted_) counted_ = 0, line_ = 1;
    line_ += static_cast<std::uint32_t>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(counted_),
                                                   text_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    counted_ = end;
    return line_;
  }

  tl::unexpected<Error> wrong(std::size_t offset, std::string_view what) {
    return fail(Errc::invalid, fmt::format("policy {} line {}: {}", file_, line_at(offset), what));
  }
  tl::unexpected<Error> wrong_node(pugi::xml_node node, std::string_view what) {
    return wrong(offset_of(node),
                 fmt::format("<{}>: {}", std::string_view(node.name()).substr(0, longest_word), what));
  }

  const std::string_view text_;
  const std::string_view file_;
  std::vector<PolicyItem> items_;
  std::size_t counted_ = 0;  // bytes of text_ whose lines line_ counts
  std::uint32_t line_ = 1;
};

}  // namespace

std::string_view name_of(Domain domain) noexcept { return domains[static_cast<std::size_t>(domain)]; }

std::string PolicyEntry::where() const { return fmt::format("policy {} line {}", file, line); }

Result<std::vector<PolicyItem>> parse_policy(std::string_view text, std::string_view file) {
  return Reader(text, file).read();
}

}  // namespace smalti
