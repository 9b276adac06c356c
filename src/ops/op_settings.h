// What the settings in force mean for an operator. Private to ops/.
#pragma once

#include <string>
#include <string_view>

#include "ops/op_color.h"
#include "ops/op_window.h"
#include "ops/state.h"

namespace smalti::ops {

// The setting's value, or "" where it is not set.
std::string_view setting(const Settings&, std::string_view name);

// Where temporary files are made.
std::string temporary_folder(const Settings&);

Result<Color> background_of(const Settings&);  // white where it is not set

// -virtual-pixel for this picture; fill values in 0..65535, one a band.
Result<Surround> surround_of(const PictureState&, const Settings&);

// The picture with the bands that its virtual pixels need: alpha where they are transparent, three colours
// where they are not gray.
Result<PictureState> with_bands_for(const PictureState&, const Settings&);

}  // namespace smalti::ops
