// What a server needs to keep named images. All of it may be left out: names then live as long as the server, and may hold
// all it has.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "server/quota.h"
#include "smalti/tile/grid.h"

namespace smalti::server {

// Where records are kept, so that they survive the process; all empty: nowhere. Waits; thread-safe.
struct RecordShelf {
  std::function<Result<void>(const std::string& name, std::span<const std::byte> record)> put;
  std::function<Result<void>(const std::string& name)> remove;
};

struct KeptImage {
  ImageId image;
  ImageSpec spec;  // all zero where not even that can be read
  std::uint64_t bytes = 0;
};
struct KeptRecord {
  std::string name;
  std::vector<std::byte> record;
};
struct LostRecord {
  std::string name;
  Error why;
};

// What a writer left that died before it was done. This server alone cannot know whether another one has finished it.
struct LeftOver {
  std::string name;
  std::vector<std::string> servers;  // addresses, as the writer reached them, of those that know
};

struct NamesParts {
  std::shared_ptr<Quota> quota;  // none: no bound
  RecordShelf shelf;
  // Told of images that are to get a name, before the store hears of them.
  std::function<void(const ImageId&)> for_name;
  // From an earlier life. Images that no record speaks of are dropped.
  std::vector<KeptImage> images;
  std::vector<KeptRecord> records;
  std::vector<LostRecord> lost;
};

}  // namespace smalti::server
