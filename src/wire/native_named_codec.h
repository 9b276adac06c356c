// The named messages' part of the native codec. Private to it.
#pragma once

#include <optional>

#include "wire/native.h"
#include "wire/native_bytes.h"

namespace smalti::wire::native {

struct Head;

// Heads; each returns the size of the frame's body.
std::uint32_t put(Writer&, const Look&);
std::uint32_t put(Writer&, const ListNames&);
std::uint32_t put(Writer&, const Lock&);
std::uint32_t put(Writer&, const Unlock&);
std::uint32_t put(Writer&, const Pin&);
std::uint32_t put(Writer&, const Enter&);
std::uint32_t put(Writer&, const Settle&);
std::uint32_t put(Writer&, const Register&);
std::uint32_t put(Writer&, const NamesPage&);

// nullopt: no message of that kind.
std::optional<Message> take_named(Head&, Kind);

}  // namespace smalti::wire::native
