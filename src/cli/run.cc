#include "cli/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <iterator>
#include <utility>
#include <vector>

namespace smalti::cli {

namespace {

using Pictures = std::vector<ops::Picture>;

double seconds_since(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

std::string described(const ops::Facts& facts) {
  return fmt::format("{}[{}] {} {}x{} {}x{}{:+}{:+} {}-bit {}{}", facts.file, facts.scene, facts.format,
                     facts.size.w, facts.size.h, facts.page.size.w, facts.page.size.h, facts.page.x,
                     facts.page.y, facts.depth, facts.colorspace, facts.alpha ? " with alpha" : "");
}

// An image number, from 0; from the end where it is negative.
Result<std::size_t> image_number(std::string_view text, std::size_t count) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto all = static_cast<std::int64_t>(count);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || number >= all ||
      number < -all)
    return fail(Errc::invalid, fmt::format("no such image `{}' in a sequence of {}", text, count));
  return static_cast<std::size_t>(number < 0 ? number + all : number);
}

class Runner {
 public:
  Runner(const Script& script, const ops::Workshop& workshop, const Call& call, const std::string& temporary,
         const Say& say, const Say& complain)
      : script_(script), workshop_(workshop), call_(call), temporary_(temporary), say_(say), complain_(complain), lists_(1) {
    for (const Step& step : script.steps) only_described_ = only_described_ && describes(step);
  }

  Result<void> run() {
    for (const Step& step : script_.steps) {
      SMALTI_CHECK(call_.alive());
      SMALTI_CHECK(perform(step));
      SMALTI_CHECK(check_length());
    }
    if (failed_.empty()) return {};
    for (std::size_t i = 0; complain_ && i + 1 < failed_.size(); ++i) complain_(failed_[i].what);
    return pass(std::move(failed_.back()));
  }

 private:
  static bool describes(const Step& step) {
    return step.verb == Verb::read || (step.verb == Verb::write && step.name == "info:");
  }

  Pictures& current() { return lists_.back(); }

  Result<void> perform(const Step& step) {
    switch (step.verb) {
      case Verb::read:
        return read(step);
      case Verb::apply:
        return apply(step);
      case Verb::write:
        return write(step);
      case Verb::open:
        lists_.emplace_back();
        return {};
      case Verb::close:
        return close();
      case Verb::clone:
        return clone(step);
      case Verb::remove:
        return remove(step);
      case Verb::swap:
        return swap(step);
      case Verb::reverse:
        std::reverse(current().begin(), current().end());
        return {};
    }
    return fail(Errc::internal, "a step of no known kind");
  }

  ops::Settings settings_of(const Step& step) const {
    ops::Settings settings = step.settings;
    settings["registry:temporary-path"] = temporary_;
    return settings;
  }

  Result<void> read(const Step& step) {
    const auto from = Clock::now();
    auto read = ops::read_pictures(workshop_, call_, step.name, settings_of(step), !only_described_);
    if (!read && only_described_ && call_.alive()) {  // the others can still be described
      failed_.push_back(std::move(read.error()));
      return {};
    }
    SMALTI_TRY(Pictures pictures, std::move(read));
    if (script_.verbose && !only_described_)
      for (const ops::Picture& picture : pictures)
        say_(fmt::format("{}: read in {:.3f} s", described(ops::facts_of(picture)), seconds_since(from)));
    if (const auto page = step.settings.find("page"); page != step.settings.end()) {
      const ops::Operation lay{"repage", page->second, step.settings};
      for (ops::Picture& picture : pictures) {
        SMALTI_TRY(picture, ops::apply(workshop_, call_, picture, lay));
      }
    }
    std::move(pictures.begin(), pictures.end(), std::back_inserter(current()));
    return {};
  }

  Result<void> apply(const Step& step) {
    SMALTI_CHECK(some(step.name));
    const ops::Operation operation{step.name, step.argument, settings_of(step)};
    Pictures made;
    if (ops::joins(step.name)) {
      SMALTI_TRY(ops::Picture one, ops::join(workshop_, call_, current(), operation));
      made.push_back(std::move(one));
      current() = std::move(made);
      return {};
    }
    for (ops::Picture& picture : current()) {
      SMALTI_TRY(Pictures parts, ops::apply_each(workshop_, call_, picture, operation));
      picture = {};  // what only it held is free for the next
      std::move(parts.begin(), parts.end(), std::back_inserter(made));
      SMALTI_CHECK(call_.alive());
    }
    current() = std::move(made);
    return {};
  }

  Result<void> write(const Step& step) {
    if (!failed_.empty() && current().empty()) return {};
    SMALTI_CHECK(some(step.name));
    const auto from = Clock::now();
    // A picture that is written and then worked on further must not be computed twice.
    if (&step != &script_.steps.back()) {
      for (ops::Picture& picture : current()) {
        SMALTI_TRY(picture, ops::cached(workshop_, call_, picture));
      }
    }
    SMALTI_CHECK(ops::write_pictures(workshop_, call_, current(), step.name, settings_of(step)));
    if (script_.verbose && !only_described_)
      say_(fmt::format("{}: {} image{} written in {:.3f} s", step.name, current().size(),
                       current().size() == 1 ? "" : "s", seconds_since(from)));
    return {};
  }

  Result<void> close() {
    if (lists_.size() < 2) return fail(Errc::invalid, "unbalanced parenthesis `)'");
    Pictures inner = std::move(current());
    lists_.pop_back();
    std::move(inner.begin(), inner.end(), std::back_inserter(current()));
    return {};
  }

  // Within parentheses the images around them are what is copied.
  Result<void> clone(const Step& step) {
    Pictures& from = lists_.size() > 1 ? lists_[lists_.size() - 2] : current();
    SMALTI_TRY(const auto chosen, select_images(step.argument, from.size()));
    Pictures copies;
    for (const std::size_t i : chosen) {
      // What is used twice is computed once.
      SMALTI_TRY(from[i], ops::cached(workshop_, call_, from[i]));
      copies.push_back(from[i]);
    }
    std::move(copies.begin(), copies.end(), std::back_inserter(current()));
    return {};
  }

  Result<void> remove(const Step& step) {
    SMALTI_TRY(auto chosen, select_images(step.argument, current().size()));
    std::sort(chosen.begin(), chosen.end(), std::greater<>());
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    for (const std::size_t i : chosen) current().erase(current().begin() + static_cast<std::ptrdiff_t>(i));
    return {};
  }

  Result<void> swap(const Step& step) {
    SMALTI_TRY(const auto chosen, select_images(step.argument, current().size()));
    if (chosen.size() != 2)
      return fail(Errc::invalid, fmt::format("-swap `{}': name two images", step.argument));
    std::swap(current()[chosen[0]], current()[chosen[1]]);
    return {};
  }

  Result<void> some(const std::string& what) {
    if (!current().empty()) return {};
    return fail(Errc::invalid, fmt::format("no images left for `{}'", what));
  }

  Result<void> check_length() const {
    std::size_t images = 0;
    for (const Pictures& list : lists_) images += list.size();
    return workshop_.cache.ledger.fits(Resource::list_length, images);
  }

  const Script& script_;
  const ops::Workshop& workshop_;
  const Call& call_;
  const std::string& temporary_;
  const Say& say_;
  const Say& complain_;
  std::vector<Pictures> lists_;  // the innermost parenthesis last; never empty
  bool only_described_ = true;   // then no pixel is decoded
  std::vector<Error> failed_;    // of files that are only described, those that are none
};

}  // namespace

Result<std::vector<std::size_t>> select_images(std::string_view indexes, std::size_t count) {
  std::vector<std::size_t> chosen;
  while (true) {
    const std::size_t comma = std::min(indexes.find(','), indexes.size());
    const std::string_view entry = indexes.substr(0, comma);
    const std::size_t dash = entry.find('-', 1);  // the first may be a sign
    SMALTI_TRY(const std::size_t first, image_number(entry.substr(0, dash), count));
    std::size_t last = first;
    if (dash != std::string_view::npos) {
      SMALTI_TRY(last, image_number(entry.substr(dash + 1), count));
    }
    for (std::size_t i = first;; i += first < last ? 1 : static_cast<std::size_t>(-1)) {
      chosen.push_back(i);
      if (i == last) break;
    }
    if (comma == indexes.size()) return chosen;
    indexes.remove_prefix(comma + 1);
  }
}

Result<void> run_steps(const Script& script, const ops::Workshop& workshop, const Call& call,
                       const std::string& temporary, const Say& say, const Say& complain) {
  return Runner(script, workshop, call, temporary, say, complain).run();
}

}  // namespace smalti::cli
