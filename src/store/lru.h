// SegmentedLru: who goes first when room is wanted. One pass over everything does not push out what is used often.
#pragma once

#include <cstdint>

namespace smalti {

// What a node of the list derives from. Owned by whoever owns the node.
struct LruLink {
  LruLink* prev = nullptr;
  LruLink* next = nullptr;
  std::uint64_t lru_bytes = 0;
  bool proven = false;  // used again since it came
};

// Two lists. Newcomers are on trial; one that is used again is proven. Victims come from the cold end of those on trial;
// of the proven only while these take more than four fifths of the bytes, so that what was hot once does not stay for
// ever. Not thread-safe; links must stay where they are while they are in a list.
class SegmentedLru {
 public:
  SegmentedLru() noexcept {
    trial_.clear();
    proven_.clear();
  }
  SegmentedLru(const SegmentedLru&) = delete;
  SegmentedLru& operator=(const SegmentedLru&) = delete;

  // REQUIRES: in no list.
  void add(LruLink& link, std::uint64_t bytes) noexcept {
    link.lru_bytes = bytes;
    link.proven = false;
    trial_.push(link);
  }
  // REQUIRES (these two): in this list.
  void touch(LruLink& link) noexcept {
    list_of(link).pull(link);
    link.proven = true;
    proven_.push(link);
  }
  void remove(LruLink& link) noexcept { list_of(link).pull(link); }

  // Null when empty.
  LruLink* coldest() const noexcept {
    const bool too_many_proven = proven_.bytes > bytes() - bytes() / 5;
    return too_many_proven || !trial_.coldest() ? proven_.coldest() : trial_.coldest();
  }
  std::uint64_t bytes() const noexcept { return trial_.bytes + proven_.bytes; }

 private:
  // A ring with its own head as the end; head.next is the warmest.
  struct Ring {
    LruLink head;
    std::uint64_t bytes = 0;

    void clear() noexcept { head.prev = head.next = &head; }
    LruLink* coldest() const noexcept { return head.prev == &head ? nullptr : head.prev; }
    void push(LruLink& link) noexcept {
      link.prev = &head;
      link.next = head.next;
      head.next->prev = &link;
      head.next = &link;
      bytes += link.lru_bytes;
    }
    void pull(LruLink& link) noexcept {
      link.prev->next = link.next;
      link.next->prev = link.prev;
      link.prev = link.next = nullptr;
      bytes -= link.lru_bytes;
    }
  };

  Ring& list_of(const LruLink& link) noexcept { return link.proven ? proven_ : trial_; }

  Ring trial_;
  Ring proven_;
};

}  // namespace smalti
