// Flow: what runs beside the pixels of a lazy pipeline: whose call it is, and what went wrong first. libvips
// carries only "failed" and a text; our errors travel here with their code.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "smalti/base/call.h"

namespace smalti::ops {

// Shared by a cached source and every picture made from it. Thread-safe.
class Flow {
 public:
  explicit Flow(Call call) : call_(std::move(call)) {}
  // Of a picture that is made from several: what is said to it goes to theirs, and their errors are its own.
  Flow(Call call, std::vector<std::shared_ptr<Flow>> parts) : parts_(std::move(parts)), call_(std::move(call)) {}

  // The call on whose behalf pixels are fetched from now on.
  void adopt(const Call& call) {
    for (const auto& part : parts_) part->adopt(call);
    const std::lock_guard lock(mutex_);
    call_ = call;
  }
  Call call() const {
    const std::lock_guard lock(mutex_);
    return call_;
  }
  // Keeps the first; later ones are its echoes.
  void fail_with(Error error) {
    const std::lock_guard lock(mutex_);
    if (!first_) first_ = std::move(error);
  }
  // The first error since the last time it was taken.
  std::optional<Error> take() {
    std::optional<Error> first;
    for (const auto& part : parts_)
      if (auto theirs = part->take(); theirs && !first) first = std::move(theirs);
    const std::lock_guard lock(mutex_);
    auto own = std::exchange(first_, std::nullopt);
    return own ? std::move(own) : std::move(first);
  }

 private:
  const std::vector<std::shared_ptr<Flow>> parts_;
  mutable std::mutex mutex_;
  Call call_;
  std::optional<Error> first_;
};

using FlowPtr = std::shared_ptr<Flow>;

}  // namespace smalti::ops
