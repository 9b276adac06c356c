#include "server/admission.h"

#include <algorithm>
#include <vector>

namespace smalti::server {

Admission::Ticket Admission::arrive(const std::string& address, HangUp hang_up) {
  if (strangers_ >= limits_.strangers || places_.size() >= limits_.clients)
    if (!evict_a_stranger()) return {};
  const std::uint64_t number = ++last_;
  places_.emplace(number, Place{address, std::move(hang_up), true});
  ++strangers_;
  return {*this, number};
}

bool Admission::evict_a_stranger() {
  std::map<std::string, std::size_t> by_address;
  for (const auto& [number, place] : places_)
    if (place.stranger) ++by_address[place.address];
  if (by_address.empty()) return false;
  const auto busiest = std::max_element(by_address.begin(), by_address.end(),
                                        [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto oldest = std::find_if(places_.begin(), places_.end(), [&](const auto& entry) {
    return entry.second.stranger && entry.second.address == busiest->first;
  });
  const HangUp hang_up = std::move(oldest->second.hang_up);
  leave(oldest->first);
  ++evicted_;
  hang_up();
  return true;
}

void Admission::leave(std::uint64_t number) {
  const auto found = places_.find(number);
  if (found == places_.end()) return;
  if (found->second.stranger) --strangers_;
  places_.erase(found);
}

bool Admission::admit(std::uint64_t number) {
  const auto found = places_.find(number);
  if (found == places_.end()) return false;
  const auto same = std::count_if(places_.begin(), places_.end(), [&](const auto& entry) {
    return !entry.second.stranger && entry.second.address == found->second.address;
  });
  const std::uint32_t fair = limits_.clients - limits_.clients / 4;
  if (static_cast<std::uint64_t>(same) >= fair) return false;
  if (found->second.stranger) --strangers_;
  found->second.stranger = false;
  return true;
}

void Admission::replace(std::uint64_t number, HangUp hang_up) {
  if (const auto found = places_.find(number); found != places_.end())
    found->second.hang_up = std::move(hang_up);
}

void Admission::hang_up_all() {
  std::vector<HangUp> all;
  for (const auto& [number, place] : places_) all.push_back(place.hang_up);
  for (const HangUp& hang_up : all) hang_up();
}

std::string address_of(const std::string& peer) { return peer.substr(0, peer.rfind(':')); }

}  // namespace smalti::server
