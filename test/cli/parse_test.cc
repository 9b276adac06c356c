// Golden tests: a command line, and what it says.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/options.h"
#include "cli/script.h"

namespace smalti::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::vector<ops::OperatorInfo> operators{{"negate", "", ""},
                                               {"sharpen", "RADIUSxSIGMA", ""},
                                               {"resize", "GEOMETRY", ""},
                                               {"rotate", "DEGREES", ""},
                                               {"colorspace", "NAME", ""},
                                               {"depth", "BITS", ""},
                                               {"repage", "GEOMETRY", "", true}};

std::vector<std::string> split(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

Result<Script> parse_words(const std::vector<std::string>& words) {
  const std::vector<std::string_view> views(words.begin(), words.end());
  return parse(views, operators);
}

Result<Script> parse_line(const std::string& line) { return parse_words(split(line)); }

std::string dump(const Script& script) {
  static constexpr std::string_view acts[] = {"run", "identify", "serve", "erase", "repair", "probe", "list", "version", "help"};
  static constexpr std::string_view verbs[] = {"read",  "apply",  "write", "open",   "close",
                                               "clone", "delete", "swap",  "reverse"};
  std::string text(acts[static_cast<int>(script.act)]);
  if (!script.list.empty()) text += " " + script.list;
  for (const std::string& name : script.names) text += " " + name;
  if (!script.probe.empty()) text += " " + script.probe;
  if (script.verbose) text += " verbose";
  if (script.monitor) text += " monitor";
  if (script.debug_cache) text += " debug-cache";
  for (const auto& [what, amount] : script.asked.limits)
    text += fmt::format(" limit:{}={}", name_of(what), amount);
  for (const auto& [key, value] : script.asked.defines) text += fmt::format(" define:{}={}", key, value);
  for (const HostPort& at : script.serve) text += fmt::format(" at:{}|{}", at.host, at.port);
  for (const Step& step : script.steps) {
    text += fmt::format("\n{}", verbs[static_cast<int>(step.verb)]);
    if (!step.name.empty()) text += " " + step.name;
    if (!step.argument.empty()) text += " " + step.argument;
    for (const auto& [key, value] : step.settings) text += fmt::format(" [{}={}]", key, value);
  }
  return text;
}

struct Golden {
  const char* line;
  const char* says;
};

TEST(Parse, ReadsCommandLines) {
  const Golden table[] = {
      {"smalti in.jpg -sharpen 5x2 out.png", "run\nread in.jpg\napply sharpen 5x2\nwrite out.png"},
      {"magick in.jpg out.png", "run\nread in.jpg\nwrite out.png"},
      {"/usr/bin/convert in.jpg out.png", "run\nread in.jpg\nwrite out.png"},
      {"magick convert in.jpg out.png", "run\nread in.jpg\nwrite out.png"},
      {"smalti magick in.jpg out.png", "run\nread in.jpg\nwrite out.png"},
      {"smalti -limit memory 1GiB -limit map 2GiB -limit disk 4GiB -define "
       "registry:cache:hosts=192.168.100.50:6668,192.168.100.51:6668 myhugeimage.jpg -sharpen 5x2 "
       "myhugeimage.png",
       "run limit:memory=1073741824 limit:map=2147483648 limit:disk=4294967296 "
       "define:registry:cache:hosts=192.168.100.50:6668,192.168.100.51:6668"
       "\nread myhugeimage.jpg [registry:cache:hosts=192.168.100.50:6668,192.168.100.51:6668]"
       "\napply sharpen 5x2 [registry:cache:hosts=192.168.100.50:6668,192.168.100.51:6668]"
       "\nwrite myhugeimage.png [registry:cache:hosts=192.168.100.50:6668,192.168.100.51:6668]"},
      // Settings hold from their place on; + takes them back.
      {"smalti a.png -virtual-pixel mirror -negate +virtual-pixel -negate -quality 90 out.jpg",
       "run\nread a.png\napply negate [virtual-pixel=mirror]\napply negate\nwrite out.jpg [quality=90]"},
      // An operator works on all images so far.
      {"smalti a.png -negate b.png -rotate -30 out-%d.png",
       "run\nread a.png\napply negate\nread b.png\napply rotate -30\nwrite out-%d.png"},
      // -depth before any image is a setting only; behind one it is done, too.
      {"smalti -depth 8 a.png -depth 16 out.png",
       "run\nread a.png [depth=8]\napply depth 16 [depth=16]\nwrite out.png [depth=16]"},
      {"smalti a.png +repage -repage 10x10+1+1 out.png",
       "run\nread a.png\napply repage\napply repage 10x10+1+1\nwrite out.png"},
      {"smalti a.png ( +clone -negate ) ( -clone 0,1 -reverse ) +swap -delete 0--2 -write mid.png out.png",
       "run\nread a.png\nopen\nclone -1\napply negate\nclose\nopen\nclone 0,1\nreverse\nclose\nswap "
       "-2,-1\ndelete 0--2"
       "\nwrite mid.png\nwrite out.png"},
      {"smalti - -negate png:-", "run\nread -\napply negate\nwrite png:-"},
      {"smalti -define png:compression-level=9 a.png out.png",
       "run define:png:compression-level=9\nread a.png [png:compression-level=9]\nwrite out.png "
       "[png:compression-level=9]"},
      {"smalti -define input:salvage +define input:salvage a.png out.png", "run\nread a.png\nwrite out.png"},
      {"smalti -verbose -monitor +monitor -debug cache a.png info:",
       "run verbose debug-cache\nread a.png\nwrite info:"},
      {"smalti -debug all -debug none a.png info:", "run\nread a.png\nwrite info:"},
      {"identify a.png b.png", "identify\nread a.png\nread b.png\nwrite info:"},
      {"magick identify -verbose a.png", "identify verbose\nread a.png\nwrite info:"},
      {"smalti -distribute-cache 6668", "serve at:|6668"},
      {"smalti -distribute-cache 127.0.0.1:6668,6669 -limit disk 0",
       "serve limit:disk=0 at:127.0.0.1|6668 at:127.0.0.1|6669"},
      {"smalti -distribute-cache [::1]:0", "serve at:::1|0"},
      {"smalti -delete-cache slide1", "erase slide1"},
      {"smalti -repair-cache dpc:slide1 -repair-cache b", "repair slide1 b"},
      {"smalti -probe-client magick", "probe magick"},
      {"smalti -distribute-cache 7000 -probe-client /usr/bin/convert", "probe /usr/bin/convert at:|7000"},
      {"smalti -limit memory 1KiB -list resource", "list resource limit:memory=1024"},
      {"smalti -version", "version"},
      {"smalti --version", "version"},
      {"smalti -help", "help"},
      {"smalti", "help"},
  };
  for (const Golden& golden : table) {
    const auto script = parse_line(golden.line);
    ASSERT_TRUE(script) << golden.line << ": " << script.error().what;
    EXPECT_EQ(dump(*script), golden.says) << golden.line;
  }
}

TEST(Parse, SaysInOneLineWhatIsWrong) {
  const Golden table[] = {
      {"smalti a.png -sharpn 5x2 out.png", "unrecognized option `-sharpn': did you mean `-sharpen'?"},
      {"smalti a.png -frobnicate out.png", "unrecognized option `-frobnicate'"},
      {"smalti a.png -virtual-pixl edge out.png",
       "unrecognized option `-virtual-pixl': did you mean `-virtual-pixel'?"},
      {"smalti a.png +negate out.png", "unrecognized option `+negate': there is only `-negate'"},
      {"smalti a.png +limit out.png", "unrecognized option `+limit': there is only `-limit'"},
      {"smalti a.png -sharpen soft out.png",
       "invalid argument for option `-sharpen': soft (expected RADIUSxSIGMA)"},
      {"smalti a.png -rotate x out.png", "invalid argument for option `-rotate': x (expected DEGREES)"},
      {"smalti a.png -resize", "option requires an argument `-resize': GEOMETRY"},
      {"smalti -limit memory", "option requires an argument `-limit': NAME AMOUNT"},
      {"smalti -limit memry 5 a.png b.png", "unrecognized resource type `memry': did you mean `memory'?"},
      {"smalti -limit memory lots a.png b.png",
       "`lots' is no amount for limit memory: write a number with its unit, such "
       "as 512MiB, or unlimited"},
      {"smalti -virtual-pixel miror a.png b.png",
       "unrecognized virtual pixel method `miror': did you mean `mirror'?"},
      {"smalti -quality best a.png b.png",
       "invalid argument for option `-quality': best (expected a whole number from 0 to 100)"},
      {"smalti -depth 0 a.png b.png",
       "invalid argument for option `-depth': 0 (expected a whole number from 1 to 64)"},
      {"smalti -size large a.png b.png", "invalid argument for option `-size': large"},
      {"smalti -define =5 a.png b.png", "invalid argument for option `-define': =5 (expected KEY=VALUE)"},
      {"smalti -debug cash a.png b.png", "unrecognized event type `cash': did you mean `cache'?"},
      {"smalti -list colours", "unrecognized list type `colours'"},
      {"smalti -negate a.png b.png", "no images found for operation `-negate': name an input before it"},
      {"smalti a.png",
       "no images defined `a.png': the last word is the output, and no input stands before it"},
      {"smalti a.png -negate",
       "missing an output filename: the last word of the command is where the result goes"},
      {"smalti a.png ( -negate b.png", "unbalanced parenthesis before `b.png'"},
      {"smalti a.png ) b.png", "unbalanced parenthesis `)'"},
      {"smalti a.png -delete first b.png",
       "invalid argument for option `-delete': first (expected image numbers such as "
       "0,2 or 1-3 or -1)"},
      {"smalti -distribute-cache",
       "option requires an argument `-distribute-cache': [ADDRESS:]PORT[,PORT...]"},
      {"smalti -distribute-cache 70000",
       "invalid argument for option `-distribute-cache': 70000 (expected "
       "[ADDRESS:]PORT[,PORT...], ports from 0 to 65535)"},
      {"smalti -probe-client", "option requires an argument `-probe-client': PROGRAM"},
      {"smalti -probe-client magick a.png b.png", "-probe-client takes no pictures: `a.png'"},
      {"smalti -distribute-cache 6668 a.png b.png", "-distribute-cache takes no pictures: `a.png'"},
      {"magick mogrify a.png", "the command `mogrify' is not offered: there are convert and identify"},
      {"identify", "missing an image filename: name what to identify"},
  };
  for (const Golden& golden : table) {
    const auto script = parse_line(golden.line);
    ASSERT_FALSE(script) << golden.line;
    EXPECT_EQ(script.error().what, golden.says) << golden.line;
  }
  EXPECT_FALSE(parse_words({"smalti", "a.png", ""}));
  EXPECT_TRUE(parse_words({}));
}

TEST(Options, HaveOneRowEachAndSayWhatTheyDo) {
  for (const OptionRow& row : option_table()) {
    EXPECT_EQ(option_named(row.name), &row);
    EXPECT_FALSE(row.help.empty());
    EXPECT_EQ(row.words > 0, !row.argument.empty()) << row.name;
  }
}

TEST(Implausible, KnowsNumbersFromWords) {
  EXPECT_FALSE(implausible("RADIUSxSIGMA", "5x2"));
  EXPECT_FALSE(implausible("GEOMETRY", "50%"));
  EXPECT_FALSE(implausible("GEOMETRY", "100x200!"));
  EXPECT_FALSE(implausible("WxH+X+Y", "10x10-5-5"));
  EXPECT_FALSE(implausible("COLORSPACE", "Gray"));
  EXPECT_FALSE(implausible("FILE", "5"));
  EXPECT_TRUE(implausible("RADIUSxSIGMA", "soft"));
  EXPECT_TRUE(implausible("DEGREES", ""));
  EXPECT_TRUE(implausible("DEGREES", "-negate"));
}

}  // namespace
}  // namespace smalti::cli
