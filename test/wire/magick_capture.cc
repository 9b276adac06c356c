#include "test/wire/magick_capture.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <memory>

namespace smalti::wire::magick::test {

namespace {

struct Close {
  void operator()(gzFile file) const noexcept { gzclose(file); }
};

// A record: direction (0 from the client, 1 from the server, others: opened and closed), connection, length, bytes.
enum : unsigned char { from_client = 0, from_server = 1 };

bool read_exactly(gzFile file, void* into, unsigned bytes) { return gzread(file, into, bytes) == static_cast<int>(bytes); }

}  // namespace

std::map<int, Recorded> load_capture(const std::string& name) {
  const auto path = std::filesystem::path(SMALTI_CAPTURES) / (name + ".cap.gz");
  const std::unique_ptr<gzFile_s, Close> file(gzopen(path.c_str(), "rb"));
  if (!file) {
    ADD_FAILURE() << path << " cannot be read";
    return {};
  }
  std::map<int, Recorded> all;
  unsigned char head[6];
  while (read_exactly(file.get(), head, sizeof head)) {
    std::uint32_t length = 0;
    std::memcpy(&length, head + 2, sizeof length);
    std::vector<std::byte> bytes(length);
    if (length != 0 && !read_exactly(file.get(), bytes.data(), length)) {
      ADD_FAILURE() << path << " ends in the middle of a record";
      return {};
    }
    Recorded& one = all[head[1]];
    if (head[0] == from_client) {
      one.segments.push_back(length);
      one.from_client.insert(one.from_client.end(), bytes.begin(), bytes.end());
    } else if (head[0] == from_server) {
      one.from_server.insert(one.from_server.end(), bytes.begin(), bytes.end());
    }
  }
  return all;
}

}  // namespace smalti::wire::magick::test
