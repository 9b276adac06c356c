#include "test/ops/file_stage.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "ops/state.h"

namespace smalti::ops::testing {

FileStage::Folder::Folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "smalti-files-XXXXXX").string();
  path = ::mkdtemp(pattern.data());
}
FileStage::Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::permissions(path, std::filesystem::perms::owner_all, ignored);
  std::filesystem::remove_all(path, ignored);
}

Limits FileStage::most() {
  Limits limits;
  limits.most.fill(unlimited);
  limits[Resource::memory] = 1u << 30;
  return limits;
}

Limits FileStage::with(Resource what, std::uint64_t amount) {
  Limits limits = most();
  limits[what] = amount;
  return limits;
}

FileStage::FileStage(Limits limits) {
  log_ = std::make_unique<Log>([this](Level, std::string_view text) {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(text);
  });
  auto engine = start_engine({.threads = 2}, *log_);
  EXPECT_TRUE(engine) << engine.error().what;
  engine_ = std::move(*engine);
  ledger_ = std::make_unique<Ledger>(limits);
  heap_ = std::make_unique<TileHeap>();
  pool_ = std::make_unique<Pool>(2);
  workshop_ = std::make_unique<Workshop>(
      Workshop{CacheParts{std::shared_ptr<TileStore>(memory_store(*ledger_)), *ledger_, *heap_, *pool_},
               {},
               *log_,
               2,
               limits[Resource::memory],
               {},
               false,
               {}});
}

std::vector<std::string> FileStage::files() const {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path))
    out.push_back(entry.path().filename());
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> FileStage::log() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

Result<std::vector<Picture>> FileStage::read(const std::string& name, const Settings& settings, bool pixels) {
  return read_pictures(*workshop_, Call(), name, settings, pixels);
}

Result<void> FileStage::write(const Picture& picture, const std::string& name, const Settings& settings) {
  return write_picture(*workshop_, Call(), picture, name, settings);
}

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void spit(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string samples_of(const Picture& picture) {
  std::size_t size = 0;
  void* memory = vips_image_write_to_memory(picture.state().image.get(), &size);
  EXPECT_NE(memory, nullptr) << vips_error_buffer();
  vips_error_clear();
  std::string out(static_cast<const char*>(memory), memory ? size : 0);
  g_free(memory);
  return out;
}

std::string shell(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return {};
  std::string out;
  char buffer[4096];
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  EXPECT_EQ(::pclose(pipe), 0) << command;
  return out;
}

bool have(const std::string& program) { return ::access(program.c_str(), X_OK) == 0; }

}  // namespace smalti::ops::testing
