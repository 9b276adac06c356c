// A disk in memory that forgets. Until it is synced a file is what it was at its last sync, plus any sectors
// of any writes since; and a folder's names are what they were at its last sync, plus the first few changes
// since. The power may fail before any operation. Seeded: the same seed forgets the same.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <variant>
#include <vector>

#include "store/disk.h"

namespace smalti::test {

using Bytes = std::vector<std::byte>;

// Everything is guarded by one mutex: files of a folder share it with the folder.
class SimulatedDisk : public DiskFolder, public std::enable_shared_from_this<SimulatedDisk> {
 public:
  struct Write {
    std::uint64_t offset;
    Bytes bytes;
  };
  struct Resize {
    std::uint64_t bytes;
  };
  struct Inode {
    Bytes now;
    Bytes durable;
    std::vector<std::variant<Write, Resize>> since;
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  std::uint64_t operations = 0;                      // so many were asked for
  std::uint64_t bytes_read = 0;                      // into buffers, as large as they were
  std::uint64_t power_fails_at = ~std::uint64_t{0};  // from this operation on all fail
  std::uint64_t most_bytes = ~std::uint64_t{0};      // of all files: writes beyond it find a full disk
  std::map<std::string, int> synced;                 // how often, by "file", "folder"

  bool off() const { return operations >= power_fails_at; }

  // The folder as it is found after the power failed. `keep` of a hundred unsynced sectors survive.
  std::shared_ptr<SimulatedDisk> after_power_failure(std::mt19937_64& random, unsigned keep) {
    const std::lock_guard lock(mutex_);
    auto out = std::make_shared<SimulatedDisk>();
    Names names = durable_;
    const std::size_t survive = changes_.empty() ? 0 : random() % (changes_.size() + 1);
    for (std::size_t i = 0; i < survive; ++i) changes_[i](names);
    for (const auto& [name, inode] : names) {
      auto fresh = std::make_shared<Inode>();
      fresh->now = fresh->durable = remembered(*inode, random, keep);
      out->now_[name] = out->durable_[name] = fresh;
    }
    return out;
  }

  // Looks at or spoils a file from behind.
  Names& files() { return now_; }
  // What is there now is on the disk, and nothing else was ever.
  std::shared_ptr<SimulatedDisk> copy() const {
    auto out = std::make_shared<SimulatedDisk>();
    for (const auto& [name, inode] : now_) {
      auto fresh = std::make_shared<Inode>();
      fresh->now = fresh->durable = inode->now;
      out->now_[name] = out->durable_[name] = fresh;
    }
    return out;
  }

  Result<std::unique_ptr<DiskFile>> open(const std::string& name, Make make) override;

  Result<std::vector<std::string>> list() override {
    const std::lock_guard lock(mutex_);
    SMALTI_CHECK(step());
    std::vector<std::string> out;
    for (const auto& [name, inode] : now_) out.push_back(name);
    return out;
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    const std::lock_guard lock(mutex_);
    SMALTI_CHECK(step());
    if (!now_.contains(from)) return fail(Errc::io, from + ": no such file");
    change([from, to, inode = now_[from]](Names& names) {
      names.erase(from);
      names[to] = inode;
    });
    return {};
  }
  Result<void> remove(const std::string& name) override {
    const std::lock_guard lock(mutex_);
    SMALTI_CHECK(step());
    if (now_.contains(name)) change([name](Names& names) { names.erase(name); });
    return {};
  }
  Result<void> sync() override {
    const std::lock_guard lock(mutex_);
    SMALTI_CHECK(step());
    durable_ = now_;
    changes_.clear();
    ++synced["folder"];
    return {};
  }
  const std::filesystem::path& path() const override { return path_; }

 private:
  friend class SimulatedFile;

  Result<void> step() {
    if (operations++ >= power_fails_at) return fail(Errc::io, "the power is off");
    return {};
  }
  void change(std::function<void(Names&)> what) {
    what(now_);
    changes_.push_back(std::move(what));
  }
  static void put(Bytes& bytes, std::uint64_t offset, const std::byte* from, std::size_t count) {
    if (bytes.size() < offset + count) bytes.resize(offset + count);
    std::memcpy(bytes.data() + offset, from, count);
  }
  static Bytes remembered(const Inode& inode, std::mt19937_64& random, unsigned keep) {
    Bytes out = inode.durable;
    for (const auto& each : inode.since) {
      if (const auto* resize = std::get_if<Resize>(&each)) {
        if (random() % 100 < keep) out.resize(resize->bytes);
        continue;
      }
      const auto& write = std::get<Write>(each);
      for (std::size_t done = 0; done < write.bytes.size();) {
        const std::uint64_t at = write.offset + done;
        const std::size_t count = std::min<std::size_t>(512 - at % 512, write.bytes.size() - done);
        if (random() % 100 < keep) put(out, at, write.bytes.data() + done, count);
        done += count;
      }
    }
    return out;
  }

  const std::filesystem::path path_ = "/simulated";
  std::mutex mutex_;
  Names now_, durable_;
  std::vector<std::function<void(Names&)>> changes_;
};

class SimulatedFile final : public DiskFile {
 public:
  SimulatedFile(std::shared_ptr<SimulatedDisk> disk, std::shared_ptr<SimulatedDisk::Inode> inode)
      : disk_(std::move(disk)), inode_(std::move(inode)) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) override {
    const std::lock_guard lock(disk_->mutex_);
    SMALTI_CHECK(disk_->step());
    const Bytes& from = inode_->now;
    disk_->bytes_read += into.size();
    if (offset >= from.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(into.size(), from.size() - offset);
    std::memcpy(into.data(), from.data() + offset, count);
    return count;
  }
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    const std::lock_guard lock(disk_->mutex_);
    if (bytes.empty()) return {};
    SMALTI_CHECK(disk_->step());
    if (offset + bytes.size() > disk_->most_bytes) {
      const std::size_t some = bytes.size() / 2;  // part of it is written
      if (offset + some <= disk_->most_bytes) keep(offset, bytes.first(some));
      return fail(Errc::limit, "cache resources exhausted: the disk is full");
    }
    keep(offset, bytes);
    return {};
  }
  Result<void> resize(std::uint64_t bytes) override {
    const std::lock_guard lock(disk_->mutex_);
    SMALTI_CHECK(disk_->step());
    inode_->now.resize(bytes);
    inode_->since.push_back(SimulatedDisk::Resize{bytes});
    return {};
  }
  Result<std::uint64_t> size() override {
    const std::lock_guard lock(disk_->mutex_);
    SMALTI_CHECK(disk_->step());
    return std::uint64_t{inode_->now.size()};
  }
  Result<void> sync() override {
    const std::lock_guard lock(disk_->mutex_);
    SMALTI_CHECK(disk_->step());
    inode_->durable = inode_->now;
    inode_->since.clear();
    ++disk_->synced["file"];
    return {};
  }

 private:
  void keep(std::uint64_t offset, std::span<const std::byte> bytes) {
    SimulatedDisk::put(inode_->now, offset, bytes.data(), bytes.size());
    inode_->since.push_back(SimulatedDisk::Write{offset, Bytes(bytes.begin(), bytes.end())});
  }

  const std::shared_ptr<SimulatedDisk> disk_;
  const std::shared_ptr<SimulatedDisk::Inode> inode_;
};

inline Result<std::unique_ptr<DiskFile>> SimulatedDisk::open(const std::string& name, Make make) {
  const std::lock_guard lock(mutex_);
  SMALTI_CHECK(step());
  if (make == Make::fresh && !now_.contains(name)) {
    change([name, inode = std::make_shared<Inode>()](Names& names) { names[name] = inode; });
  } else if (!now_.contains(name)) {
    return fail(Errc::io, name + ": no such file");
  } else if (make == Make::fresh) {
    now_[name]->now.clear();
    now_[name]->since.push_back(Resize{0});
  }
  return std::unique_ptr<DiskFile>(std::make_unique<SimulatedFile>(shared_from_this(), now_[name]));
}

}  // namespace smalti::test
