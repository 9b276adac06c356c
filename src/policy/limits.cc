#include "smalti/policy/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "policy/units.h"

namespace smalti {

namespace {

void raise_peak(std::atomic<std::uint64_t>& peak, std::uint64_t now) noexcept {
  std::uint64_t seen = peak.load(std::memory_order_relaxed);
  while (seen < now && !peak.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

}  // namespace

std::string_view name_of(Resource what) noexcept {
  static constexpr std::array<std::string_view, resource_count> names{
      "width", "height", "area",     "memory", "map",        "disk",
      "file",  "thread", "throttle", "time",   "list-length"};
  const auto index = static_cast<std::size_t>(what);
  return index < names.size() ? names[index] : "unknown";
}

Hold::Hold(Hold&& other) noexcept
    : ledger_(std::exchange(other.ledger_, nullptr)),
      what_(other.what_),
      amount_(std::exchange(other.amount_, 0)) {}

Hold& Hold::operator=(Hold&& other) noexcept {
  if (this != &other) {
    release();
    ledger_ = std::exchange(other.ledger_, nullptr);
    what_ = other.what_;
    amount_ = std::exchange(other.amount_, 0);
  }
  return *this;
}

void Hold::release() noexcept {
  if (ledger_) ledger_->give_back(what_, amount_);
  ledger_ = nullptr;
  amount_ = 0;
}

void Hold::add(Hold&& other) noexcept {
  if (!ledger_) {
    *this = std::move(other);
    return;
  }
  other.ledger_ = nullptr;
  amount_ += std::exchange(other.amount_, 0);
}

Result<Hold> Ledger::take(Resource what, std::uint64_t amount) {
  Hold hold;
  if (!try_take(what, amount, hold)) return tl::unexpected<Error>(exhausted(what, amount));
  return hold;
}

bool Ledger::try_take(Resource what, std::uint64_t amount, Hold& into) noexcept {
  const auto index = static_cast<std::size_t>(what);
  const std::uint64_t most = limits_[what];
  std::uint64_t seen = used_[index].load(std::memory_order_relaxed);
  do {
    if (seen > most || amount > most - seen) return false;
  } while (!used_[index].compare_exchange_weak(seen, seen + amount, std::memory_order_relaxed));
  raise_peak(peak_[index], seen + amount);
  into = Hold(*this, what, amount);
  return true;
}

Hold Ledger::charge(Resource what, std::uint64_t amount) noexcept {
  const auto index = static_cast<std::size_t>(what);
  const std::uint64_t before = used_[index].fetch_add(amount, std::memory_order_relaxed);
  raise_peak(peak_[index], before + amount);
  return Hold(*this, what, amount);
}

std::uint64_t Ledger::room(Resource what) const noexcept {
  const std::uint64_t most = limits_[what];
  const std::uint64_t now = used(what);
  return now < most ? most - now : 0;
}

Result<void> Ledger::fits(Resource what, std::uint64_t amount) const {
  if (amount <= limit(what)) return {};
  return fail(Errc::limit,
              fmt::format("{} {} exceeds the limit of {}; raise it with {}", name_of(what),
                          print_amount(what, amount), print_amount(what, limit(what)), cure(what)));
}

std::string_view without_opening(std::string_view said) noexcept {
  if (said.starts_with(exhausted_opening)) said.remove_prefix(std::min(said.size(), exhausted_opening.size() + 2));
  return said;
}

Error Ledger::exhausted(Resource what, std::uint64_t amount) const {
  return Error{Errc::limit,
               fmt::format("{}: {} limit {}, {} in use, {} more needed; raise it with {}", exhausted_opening,
                           name_of(what), print_amount(what, limit(what)), print_amount(what, used(what)),
                           print_amount(what, amount), cure(what))};
}

std::string Ledger::cure(Resource what) {
  return fmt::format("-limit {}, {} or the policy `{}'", name_of(what), limit_variable("MAGICK", what),
                     name_of(what));
}

void Ledger::give_back(Resource what, std::uint64_t amount) noexcept {
  used_[static_cast<std::size_t>(what)].fetch_sub(amount, std::memory_order_relaxed);
}

}  // namespace smalti
