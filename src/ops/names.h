// Names of pictures as ImageMagick writes them: "photo.jpg", "png:photo", "in.tif[1-3]", "out-%03d.png".
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "smalti/base/result.h"

namespace smalti::ops {

struct PictureName {
  std::string
      prefix;  // lower case, without the colon; empty: none. Only known words are prefixes ("a:b" is a file)
  std::string path;    // "-": standard input or output
  std::string select;  // what stood in the brackets; empty: every picture
};

// `literal`: a file of exactly this name exists, so that brackets belong to it.
PictureName parse_name(std::string_view name, bool literal);

// "svg" of "svg:drawing", where that is a format of ImageMagick's and none of ours; else empty.
std::string_view foreign_prefix(std::string_view name);

// Which of `count` pictures "2", "1-3", "0,2", "-1" or "3-0" select, in that order. Fails with Errc::invalid
// on anything else, and where a number is beyond the last.
Result<std::vector<std::uint32_t>> select_scenes(std::string_view select, std::uint32_t count,
                                                 std::string_view name);

// True where the name holds a %d that a scene's number would replace.
bool has_scene(std::string_view name) noexcept;
// "out-%03d.png" -> "out-007.png"; every other % stands for itself.
std::string with_scene(std::string_view name, std::uint32_t scene);
// "out.png" -> "out-7.png", for the pictures of a sequence that share one name.
std::string numbered(std::string_view name, std::uint32_t scene);
// "png" of "a/b.PNG"; empty where there is none.
std::string suffix_of(std::string_view path);

}  // namespace smalti::ops
