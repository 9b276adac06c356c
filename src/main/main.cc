#include <string_view>
#include <vector>

#include "cli/program.h"

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  return smalti::cli::program(words, smalti::process_environment());
}
