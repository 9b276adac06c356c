#include "smalti/house/site.h"

#include <utility>

#include "house/house.h"
#include "policy/environment.h"
#include "policy/policies.h"
#include "policy/units.h"

namespace smalti {

struct Site::Rooms {
  explicit Rooms(Log::Sink sink) : log(std::move(sink), Level::warning) {}

  Log log;  // the house says its last words to it
  std::unique_ptr<house::House> house;
};

Result<std::unique_ptr<Site>> Site::open(SiteOptions options) {
  house::Asked asked;
  for (const auto& [name, amount] : options.limits) {
    const auto what = resource_named(name);
    if (!what) return fail(Errc::invalid, "limit `" + name + "': there is no such resource");
    SMALTI_TRY(const std::uint64_t most, parse_amount(*what, amount));
    asked.limits.emplace_back(*what, most);
  }
  asked.defines = std::move(options.defines);
  const Environment environment = process_environment();
  SMALTI_TRY(const Policies policies, load_policies(policy_places(environment)));
  SMALTI_TRY(house::Config config, house::configure(asked, policies, environment));
  if (!options.secret.empty()) config.secret = Secret(std::move(options.secret));
  auto rooms = std::make_unique<Rooms>(std::move(options.log));
  SMALTI_TRY(rooms->house, house::build(std::move(config), house::Purpose::client, rooms->log));
  return std::unique_ptr<Site>(new Site(std::move(rooms)));
}

Site::Site(std::unique_ptr<Rooms> rooms) : rooms_(std::move(rooms)) {}
Site::~Site() = default;

CacheParts Site::parts() noexcept {
  house::House& house = *rooms_->house;
  return {house.store, house.ledger, house.heap, *house.ahead};
}

}  // namespace smalti
