#include "ops/vips.h"

#include <utility>

namespace smalti::ops {

VipsPtr share(const VipsPtr& image) {
  if (!image) return nullptr;
  g_object_ref(image.get());
  return VipsPtr(image.get());
}

tl::unexpected<Error> vips_fail(Errc code, std::string context) {
  // The buffer holds a line for each level that failed, the deepest first: the first says what happened.
  std::string text = vips_error_buffer();
  vips_error_clear();
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at)) text.replace(at, 1, "; ");
  if (!text.empty()) context += ": " + text;
  return fail(code, std::move(context));
}

}  // namespace smalti::ops
