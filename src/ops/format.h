// The table of picture formats: how each is told from its first bytes, what its header says, how it is
// decoded and encoded. Adding a format is adding a row. Private to ops/.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/input.h"
#include "ops/picture.h"
#include "ops/vips.h"

namespace smalti::ops {

// One picture of a file, as its header tells. Nothing of it is trusted beyond arithmetic.
struct Leaf {
  std::uint64_t width = 0, height = 0;  // pixels; 0x0: only the decoder can tell
  std::uint64_t held = 0;               // bytes that the decoder keeps for the whole image, beyond a few rows
  std::string_view why;                 // what makes it keep them: "a progressive JPEG"
  std::string_view cure;                // how to write it so that it does not
  Rect page;                            // canvas (0x0: none told) and offset
  std::string_view variant;             // the format's name where it has several (PPM, PGM); else empty
  int quality = 0;                      // of a JPEG, as its quantisation tells; 0: not told
  std::string_view packing;             // how a TIFF is compressed, as -compress says it; empty: not told
};

struct Decode {
  std::shared_ptr<const InputFile> file;
  std::uint32_t scene = 0;
  bool salvage = false;
  Log* log = nullptr;
};

struct Encode;  // write.h

// What a file of a format can say; the rest is converted or left out before its encoder is called.
struct Takes {
  bool alpha = false;
  bool cmyk = false;
  bool wide = false;             // 16 bits a sample
  bool extra = false;            // channels beyond colour and alpha
  bool pages = false;            // several pictures, of one size and kind
  bool interlaced = false;       // in passes of growing detail
  bool rewinds = false;          // goes back in the file
  std::uint32_t most_side = 0;   // pixels
  std::uint64_t held_bytes = 0;  // bytes a pixel that the encoder keeps of the whole image
};

struct FormatRow {
  std::string_view name;                // as ImageMagick calls it: "JPEG"
  std::vector<std::string_view> words;  // suffixes and prefixes, lower case
  bool (*is)(std::span<const std::byte> head) = nullptr;
  Result<std::vector<Leaf>> (*leaves)(const InputFile&) = nullptr;  // every picture in the file, at least one
  Result<VipsPtr> (*open)(const Decode&) = nullptr;                 // lazy, sequential; header fields are set
  Result<void> (*save)(const Encode&) = nullptr;                    // null: cannot be written
  Takes takes;
};

std::span<const FormatRow> format_table();
// By content. Null: unknown.
const FormatRow* format_of(std::span<const std::byte> head);
// By suffix, prefix or name, in any case. Null: unknown.
const FormatRow* format_named(std::string_view word);
// A format's word, or a pseudo-format's ("info", "null", "canvas", "xc", "gradient").
bool is_prefix(std::string_view word);
// "JPEG, PNG, ...", for errors.
std::string readable_formats();
std::string writable_formats();

}  // namespace smalti::ops
