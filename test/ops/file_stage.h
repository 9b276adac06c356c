// A workshop for tests of files: a store in memory, and folders that go when the test ends.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ops/engine.h"
#include "ops/picture.h"
#include "smalti/store/stores.h"

namespace smalti::ops::testing {

class FileStage {
 public:
  explicit FileStage(Limits limits = most());

  static Limits most();  // limits that do not bind
  static Limits with(Resource what, std::uint64_t amount);

  Workshop& workshop() noexcept { return *workshop_; }
  Ledger& ledger() noexcept { return *ledger_; }
  std::string path(const std::string& name) const { return (folder_.path / name).string(); }
  const std::filesystem::path& folder() const noexcept { return folder_.path; }
  std::vector<std::string> files() const;  // names in the folder, hidden ones too
  std::vector<std::string> log() const;

  Result<std::vector<Picture>> read(const std::string& name, const Settings& settings = {},
                                    bool pixels = true);
  Result<void> write(const Picture&, const std::string& name, const Settings& settings = {});

 private:
  struct Folder {
    std::filesystem::path path;
    Folder();
    ~Folder();
  } folder_;
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<TileHeap> heap_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Workshop> workshop_;
};

// The bytes of a file, and back.
std::string slurp(const std::string& path);
void spit(const std::string& path, std::string_view bytes);

// Every sample of a picture, row by row, in host order; ImageMagick's view of a file's pixels likewise.
std::string samples_of(const Picture&);

// Runs a command of the shell, and returns what it printed; fails the test where it fails.
std::string shell(const std::string& command);
bool have(const std::string& program);

}  // namespace smalti::ops::testing
