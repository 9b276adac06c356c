// What a tile file holds, found out from its heads alone, after whatever happened to it.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "store/disk.h"
#include "store/tile_file_format.h"

namespace smalti::tile_file {

// Where the newest record of a tile is.
struct Place {
  std::uint64_t offset = 0;
  std::uint64_t generation = 0;
  std::uint32_t pixel_bytes = 0;
};
using Index = std::unordered_map<Cell, Place, CellHash>;

struct Scan {
  Index index;
  Mark mark;                  // the one that holds
  std::uint64_t whole = 0;    // up to here the file is to stay as it is; behind, it is to be all zero ...
  std::uint64_t end = 0;      // ... up to here, where the next record goes
  std::uint64_t cut = 0;      // bytes behind `whole` that stand there now
  std::uint64_t clock = 0;    // greater than every generation given out
  std::uint64_t records = 0;  // up to end, including those that were lost
  std::uint64_t replacing = 0;
  std::string damage;       // what is not as it was written; empty: nothing shows
  bool incomplete = false;  // records were lost: a tile that is not in the index may have been put
  std::uint64_t doubt = 0;  // tiles that stand before this may have been replaced by a record that was lost
};

// Reads heads of records, and the pixels only of what no mark vouches for. Needs no more memory than the file
// has records. Fails when the file cannot be read.
Result<Scan> scan(DiskFile&, const Head&);

}  // namespace smalti::tile_file
