#include "client/details.h"

#include <fmt/format.h>

#include "client/image_record.h"
#include "wire/native_bytes.h"

namespace smalti::client {

namespace native = wire::native;

namespace {

constexpr std::uint16_t format = 1;
constexpr std::uint32_t none = 0xFFFFFFFF;
constexpr std::size_t least_server_bytes = 20;
constexpr std::size_t least_run_bytes = 17;

tl::unexpected<Error> corrupt(const char* what) {
  return fail(Errc::corrupt, fmt::format("the record of the image's placement makes no sense: {}", what));
}

void put_placing(native::Writer& w, const Placing& placing) {
  w.u32(static_cast<std::uint32_t>(placing.servers.size()));
  for (const Placing::Server& server : placing.servers) {
    w.raw(server.id);
    w.u16(server.address.port);
    w.text(server.address.host, native::most_name);
  }
  w.u32(placing.ruled);
  w.u32(placing.first.value_or(none));
  w.u32(placing.replicas);
  w.u32(static_cast<std::uint32_t>(placing.exceptions.size()));
  for (const Placing::Run& run : placing.exceptions) {
    w.u64(run.first);
    w.u64(run.tiles);
    w.u8(static_cast<std::uint8_t>(run.holders.size()));
    for (const std::uint32_t holder : run.holders) w.u16(static_cast<std::uint16_t>(holder));
  }
}

Result<void> take_servers(native::Reader& r, Placing& placing) {
  const std::uint32_t servers = r.u32();
  if (servers == 0 || servers > native::most_keepers || std::uint64_t{servers} * least_server_bytes > r.left())
    return corrupt("its servers");
  placing.servers.resize(servers);
  for (Placing::Server& server : placing.servers) {
    server.id = r.array<16>();
    server.address.port = r.u16();
    server.address.host = r.text(native::most_name);
  }
  placing.ruled = r.u32();
  const std::uint32_t first = r.u32();
  if (first != none) placing.first = first;
  placing.replicas = r.u32();
  if (placing.ruled == 0 || placing.ruled > servers || (placing.first && *placing.first >= placing.ruled) ||
      placing.replicas == 0 || placing.replicas > most_replicas)
    return corrupt("its rule");
  return {};
}

Result<void> take_runs(native::Reader& r, const Grid& grid, Placing& placing) {
  const std::uint32_t runs = r.u32();
  if (std::uint64_t{runs} * least_run_bytes > r.left()) return corrupt("its exceptions");
  placing.exceptions.resize(runs);
  std::uint64_t behind = 0;
  for (Placing::Run& run : placing.exceptions) {
    run.first = r.u64();
    run.tiles = r.u64();
    if (run.first < behind || run.tiles == 0 || run.first > grid.tiles() || run.tiles > grid.tiles() - run.first)
      return corrupt("an exception beyond the image");
    behind = run.first + run.tiles;
    const std::size_t holders = r.u8();
    if (holders > placing.replicas) return corrupt("a tile with too many copies");
    for (std::size_t i = 0; i < holders; ++i) run.holders.push_back(r.u16());
    for (const std::uint32_t holder : run.holders)
      if (holder >= placing.servers.size()) return corrupt("a tile on no server");
  }
  return {};
}

}  // namespace

Result<std::vector<std::byte>> encode(const Details& details) {
  if (details.sidecar.size() > most_sidecar_bytes)
    return fail(Errc::limit, fmt::format("what travels beside the pixels (profiles, EXIF, ...) has {} bytes, and a "
                                         "record holds {}; write it to a file without them first",
                                         details.sidecar.size(), most_sidecar_bytes));
  if (details.placing.servers.size() > native::most_keepers)
    return fail(Errc::limit, fmt::format("an image with a name may be on {} servers, not {}", native::most_keepers,
                                         details.placing.servers.size()));
  native::Writer w(details.sidecar.size() + 4096);
  w.u16(format);
  put_placing(w, details.placing);
  w.u32(static_cast<std::uint32_t>(details.sidecar.size()));
  w.raw(details.sidecar);
  if (w.size() > native::most_detail_bytes)
    return fail(Errc::limit, "the image's tiles are scattered over too many places for one record");
  return std::move(w.bytes());
}

Result<Details> decode_details(std::span<const std::byte> bytes, const ImageSpec& spec) {
  SMALTI_CHECK(spec.check());
  native::Reader r(bytes);
  if (const std::uint16_t version = r.u16(); version != format)
    return fail(Errc::unsupported, fmt::format("the record was written by another version of Smalti (format {})", version));
  Details out;
  SMALTI_CHECK(take_servers(r, out.placing));
  SMALTI_CHECK(take_runs(r, Grid(spec), out.placing));
  const std::uint32_t sidecar = r.u32();
  if (sidecar > most_sidecar_bytes || sidecar != r.left()) return corrupt("its end");
  const auto rest = r.raw(sidecar);
  out.sidecar.assign(rest.begin(), rest.end());
  if (r.broken()) return corrupt("it ends too early");
  return out;
}

}  // namespace smalti::client
