// What becomes of a request's tiles where they are compressed: coded before they are queued, decoded before the caller is
// told, both by a pool.
#include <algorithm>
#include <thread>

#include "client/link.h"
#include "smalti/base/pool.h"
#include "wire/tile_coding.h"

namespace smalti::client {

using namespace wire::native;

namespace {

constexpr unsigned most_threads = 4;

const ImageId* image_of(const Message& message) {
  if (const auto* put = std::get_if<Put>(&message)) return put->items.empty() ? nullptr : &put->items.front().key.image;
  const auto* get = std::get_if<Get>(&message);
  return get && !get->keys.empty() ? &get->keys.front().image : nullptr;
}

void code_all(Request& request, TileHeap& heap) {
  auto& items = std::get<Put>(request.message).items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!request.payloads[i] || items[i].coded != 0) continue;
    auto coded = encode_tile(request.payloads[i], request.coder, heap);
    if (!coded || !*coded) continue;  // goes as it is
    items[i].coded = static_cast<std::uint32_t>(coded->charge());
    request.payloads[i] = std::move(*coded);
  }
}

void decode_all(Request& request, TileHeap& heap) {
  for (std::size_t i = 0; i < request.gets.size(); ++i) {
    Arrived& arrived = request.gets[i];
    if (arrived.coded.empty()) continue;
    auto tile = decode_tile(arrived.coded, request.expected[i], request.format, heap);
    if (tile)
      arrived.got = std::optional<Tile>(tile->marked_with(arrived.checksum));
    else
      arrived.got = pass(std::move(tile.error()));
    arrived.coded = {};
  }
}

const Tile* some_tile(const Request& request) {
  for (const Tile& tile : request.payloads)
    if (tile) return &tile;
  for (const Arrived& arrived : request.gets)
    if (arrived.got && *arrived.got && **arrived.got) return &**arrived.got;
  return nullptr;
}

}  // namespace

Pool& Link::coders() {
  if (!coders_) coders_ = std::make_unique<Pool>(std::clamp(std::thread::hardware_concurrency(), 1u, most_threads));
  return *coders_;
}

// True: it is not to be queued yet; that follows.
bool Link::to_be_packed(const RequestPtr& request) {
  const ImageId* image = request->weight > 0 ? image_of(request->message) : nullptr;
  if (!image) return false;
  if (shares_ && options_.compress == Compress::automatic) return false;  // there is no wire
  request->coder = coding_.begin(*image, Clock::now());
  request->counted = true;
  if (auto* get = std::get_if<Get>(&request->message)) {
    get->coder = request->coder;
    return false;
  }
  if (request->coder == Coder::none && !coding_.curious(*image)) return false;
  tasks_.spawn(pack(request));
  return true;
}

asio::awaitable<void> Link::pack(RequestPtr request) {
  auto work = [this, request] {
    const ImageId image = *image_of(request->message);
    if (const Tile* tile = some_tile(*request); tile && coding_.curious(image)) coding_.try_on(image, *tile);
    if (request->coder != Coder::none) code_all(*request, heap_);
  };
  co_await net::offload(coders(), std::move(work));
  enqueue(request);
  owe();
  tend();
}

// True: its tiles are not what the caller wants yet; it is finished later.
bool Link::to_be_unpacked(const RequestPtr& request) {
  const auto coded = [](const Arrived& arrived) { return !arrived.coded.empty(); };
  const bool any = std::any_of(request->gets.begin(), request->gets.end(), coded);
  if (!any && (request->gets.empty() || !request->counted || !coding_.curious(*image_of(request->message)))) return false;
  tasks_.spawn(unpack(request));
  return true;
}

asio::awaitable<void> Link::unpack(RequestPtr request) {
  auto work = [this, request] {
    decode_all(*request, heap_);
    const ImageId image = *image_of(request->message);
    if (const Tile* tile = some_tile(*request); tile && coding_.curious(image)) coding_.try_on(image, *tile);
  };
  co_await net::offload(coders(), std::move(work));
  finish(request, std::move(request->failed));
}

}  // namespace smalti::client
