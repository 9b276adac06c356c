#include "ops/decode.h"

#include <fmt/format.h>

#include "ops/probe.h"

namespace smalti::ops {

namespace {

// A JPEG's damage is only ever a warning to its decoder; the others tell benign oddities by warnings.
VipsFailOn strictness(const Decode& decode, VipsFailOn strict) {
  return decode.salvage ? VIPS_FAIL_ON_NONE : strict;
}

Result<VipsPtr> opened(const Decode& decode, int failed, VipsImage* image) {
  if (failed != 0)
    return vips_fail(Errc::corrupt, fmt::format("'{}' cannot be decoded", decode.file->name()));
  return VipsPtr(image);
}

Result<std::vector<Leaf>> by_decoder(const InputFile& file, Result<VipsPtr> opened_image,
                                     std::uint64_t bytes_a_sample, std::string_view why) {
  if (!opened_image) return pass(std::move(opened_image.error()));
  const VipsImage* image = opened_image->get();
  Leaf leaf;
  leaf.width = static_cast<std::uint64_t>(image->Xsize);
  leaf.height = static_cast<std::uint64_t>(image->Ysize);
  leaf.held =
      product(product(leaf.width, leaf.height), static_cast<std::uint64_t>(image->Bands), bytes_a_sample);
  leaf.why = why;
  leaf.cure = "save it as PNG or TIFF";
  const int pages = vips_image_get_n_pages(const_cast<VipsImage*>(image));
  (void)file;
  return std::vector<Leaf>(static_cast<std::size_t>(std::max(pages, 1)), leaf);
}

std::shared_ptr<const InputFile> borrowed(const InputFile& file) {
  return {std::shared_ptr<const InputFile>(), &file};
}

}  // namespace

Result<VipsPtr> open_jpeg(const Decode& decode) {
  VipsImage* out = nullptr;
  const int failed = vips_jpegload(decode.file->path().c_str(), &out, "access", VIPS_ACCESS_SEQUENTIAL,
                                   "fail_on", strictness(decode, VIPS_FAIL_ON_WARNING), nullptr);
  return opened(decode, failed, out);
}

Result<VipsPtr> open_png(const Decode& decode) {
  VipsImage* out = nullptr;
  const int failed = vips_pngload(decode.file->path().c_str(), &out, "access", VIPS_ACCESS_SEQUENTIAL,
                                  "fail_on", strictness(decode, VIPS_FAIL_ON_ERROR), nullptr);
  return opened(decode, failed, out);
}

Result<VipsPtr> open_tiff(const Decode& decode) {
  VipsImage* out = nullptr;
  const int failed =
      vips_tiffload(decode.file->path().c_str(), &out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                    strictness(decode, VIPS_FAIL_ON_ERROR), "page", static_cast<int>(decode.scene), nullptr);
  return opened(decode, failed, out);
}

Result<VipsPtr> open_webp(const Decode& decode) {
  VipsImage* out = nullptr;
  const int failed =
      vips_webpload(decode.file->path().c_str(), &out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                    strictness(decode, VIPS_FAIL_ON_ERROR), "page", static_cast<int>(decode.scene), nullptr);
  return opened(decode, failed, out);
}

Result<VipsPtr> open_gif(const Decode& decode) {
  VipsImage* out = nullptr;
  const int failed =
      vips_gifload(decode.file->path().c_str(), &out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                   strictness(decode, VIPS_FAIL_ON_ERROR), "page", static_cast<int>(decode.scene), nullptr);
  return opened(decode, failed, out);
}

Result<VipsPtr> open_jp2(const Decode& decode) {
  VipsImage* out = nullptr;
  const int failed = vips_jp2kload(decode.file->path().c_str(), &out, "access", VIPS_ACCESS_SEQUENTIAL,
                                   "fail_on", strictness(decode, VIPS_FAIL_ON_ERROR), nullptr);
  return opened(decode, failed, out);
}

// Two RGBA canvases.
Result<std::vector<Leaf>> probe_gif(const InputFile& file) {
  return by_decoder(file, open_gif({borrowed(file), 0, true, nullptr}), 8, "a GIF");
}

// A tile is decoded to 32-bit samples, and one tile may be the whole image.
Result<std::vector<Leaf>> probe_jp2(const InputFile& file) {
  auto leaves = by_decoder(file, open_jp2({borrowed(file), 0, true, nullptr}), 4, "a JPEG 2000");
  if (leaves) leaves->resize(1);  // its "pages" are resolutions of one picture
  return leaves;
}

}  // namespace smalti::ops
