// Catalog: what a server knows of names: which image has which, who may write, and what is on its way.
//
// A name is a register. A version of it is told by its number; the writer draws the number with the lock, and each number
// is larger than all that a majority of the name's servers has heard of. A version goes through three steps on each
// server: pinned (its tiles stay, whatever becomes of the writer), entered (it is what readers get), settled (enough
// servers have entered it). doc/named-images.md says why.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/loop.h"
#include "server/leases.h"
#include "server/names_parts.h"
#include "server/quota.h"
#include "server/signal.h"
#include "smalti/base/log.h"
#include "wire/native.h"

namespace smalti::server {

// Used on its loop only; disks are waited for by the pool.
class Catalog {
 public:
  static constexpr std::size_t most_names = 1u << 16;

  struct Parts {
    net::Loop& loop;
    Leases& leases;
    std::shared_ptr<TileStore> store;
    Pool& waiters;
    Log& log;
    Quota& quota;
    RecordShelf shelf = {};
  };
  explicit Catalog(Parts parts);
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  // A record as it was put on the shelf. Its image must be in the leases' care already (Leases::keep) where it is here at
  // all. Before the first client.
  Result<void> restore(const std::string& name, std::span<const std::byte> record);
  // A record that cannot be read: whoever asks for the name is told so.
  void lost(const std::string& name, Error why);
  // The images that a record speaks of, without restoring it.
  static Result<std::vector<ImageId>> images_of(std::span<const std::byte> record);

  struct Told {
    wire::native::Register state;
    Tile details;  // the payload; none where there are no details
  };
  // corrupt: there was a record, but it cannot be read.
  Result<Told> look(const std::string& name) const;
  wire::native::NamesPage page(const std::string& after) const;

  // A writer that has had no connection for so long has died, most likely, and whoever comes next takes its lock.
  static constexpr std::chrono::seconds longest_silence{2};
  // conflict: somebody else writes, which the message names, or the number is used up. Waits for a silent writer to be
  // silent for long enough. The session must not end meanwhile: its connection awaits it.
  net::Task<void> lock(Session&, Call, wire::native::Lock);
  // What the session pinned under the number and did not enter is let go, too; as is what a writer that is gone left.
  net::Task<void> unlock(Session&, wire::native::Unlock);
  // unavailable: the lock, or the image, is not the session's any more.
  net::Task<void> pin(Session&, Call, wire::native::Pin);
  net::Task<void> enter(Session&, wire::native::Enter, Tile details);
  net::Task<void> settle(Session&, wire::native::Settle);

  std::vector<LeftOver> left_over() const;

  std::size_t names() const noexcept { return names_.size(); }

 private:
  using Number = wire::native::Number;
  struct Holder {
    wire::native::Id session{};
    std::string who;
    Number number = 0;
  };
  struct Pinned {
    Number number = 0;
    ImageId image;
    bool here = false;      // the leases keep it for us
    bool orphaned = false;  // its writer is gone
    std::vector<wire::native::Keeper> keepers = {};  // where it was to be entered
  };
  struct Entered {
    Number number = 0;
    bool settled = false, deleted = false;
    bool here = false;
    wire::native::NameRecord record;
    Tile details;
    std::uint64_t checksum = 0;
  };
  struct Name {
    Number promised = 0;
    std::optional<Holder> lock;
    std::optional<Pinned> pinned;
    std::optional<Entered> entered;
    std::optional<Error> damage;
  };
  // One change that is to survive at a time.
  class Turn;

  Name* find(const std::string& name);
  bool holds_lock(const Name&, const Session&, Number) const;
  void free_lock(Name&);
  Error not_the_writer(const std::string& name) const;
  wire::native::Register register_of(const Name&) const;
  static std::vector<std::byte> record_of(const Name&);
  static Result<Name> name_of(std::span<const std::byte> record);
  std::function<Result<void>()> shelving(const std::string& name, const Name& next) const;
  net::Task<void> keep(Call, ImageId);
  static Name with_pinned(Name, wire::native::Pin, bool here);
  Result<std::optional<Name>> with_entered(const Session&, wire::native::Enter, Tile details);
  net::Task<void> change(std::string name, Name next);
  void install(const std::string& name, Name next);
  void tidy(const std::string& name);
  void session_ended(const Session&);

  Parts parts_;
  std::map<std::string, Name, std::less<>> names_;
  bool busy_ = false;  // somebody has the turn
  Signal idle_;
};

}  // namespace smalti::server
