// Rows on disk: what goes in comes out, and what does not fit is refused.
#include "storage/row_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "harness.h"

namespace {

using namespace attribution;

/// A store of two shards in a folder of its own.
struct Folder {
  std::string path;
  RowStore store;

  Folder(RowType type, int64_t bytes) {
    char name[] = "/tmp/attribution-rows-XXXXXX";
    path = ::mkdtemp(name);
    store.type = type;
    store.segments = {0, 2, 6};
    for (const int64_t rows : {3, 2}) {
      const std::string file = path + "/" + std::to_string(rows);
      // losses, scales, features
      store.shards.push_back({file, rows, static_cast<uint64_t>(rows * 12), static_cast<uint64_t>(rows * 4), 0});
      std::FILE* made = std::fopen(file.c_str(), "w");
      for (int64_t i = 0; i < rows * (12 + 6 * bytes); ++i) std::fputc(0, made);
      std::fclose(made);
    }
  }
  ~Folder() {
    for (const Shard& shard : store.shards) std::remove(shard.file.c_str());
    std::remove((path + "/flags").c_str());
    std::remove(path.c_str());
  }
};

at::Tensor read(const RowStore& store, int64_t memory, int64_t begin = 0, int64_t end = 6) {
  at::Tensor all = at::full({store.rows(), end - begin}, -1, at::kFloat);
  const Control control;
  for_row_blocks(store, {"rows", memory, begin, end}, control,
                 [&](int64_t first, const at::Tensor& block) { all.narrow(0, first, block.size(0)).copy_(block); });
  return all;
}

}  // namespace

TEST(rows_written_in_any_order_come_back_in_place) {
  for (const auto& [type, bytes] : {std::pair{RowType::float32, 4}, std::pair{RowType::int8, 1}}) {
    const Folder folder(type, bytes);
    at::manual_seed(3);
    const at::Tensor values = at::randn({5, 6}), losses = at::arange(5, at::kFloat);
    {
      RowWriter writer(folder.store, folder.path + "/flags");
      const std::vector<int64_t> rows = {4, 0, 3, 1, 2};
      writer.write(rows, values.index_select(0, at::tensor(rows)), losses);
      writer.sync();
      CHECK(writer.written(4));
    }
    for (const int64_t memory : {int64_t{1}, int64_t{1} << 20}) {
      CHECK_CLOSE((read(folder.store, memory) - values).abs().max().item<double>(), 0,
                  type == RowType::int8 ? values.abs().max().item<double>() / 253 : 0);
      const at::Tensor all = read(folder.store, memory);
      for (const auto& [begin, end] : {std::pair{1, 5}, std::pair{0, 2}, std::pair{3, 4}, std::pair{2, 6}})
        CHECK(read(folder.store, memory, begin, end).equal(all.narrow(1, begin, end - begin)));
    }
    RowWriter again(folder.store, folder.path + "/flags");
    CHECK(again.written(0) && again.written(2));
  }
}

TEST(a_shard_cut_while_it_is_read_is_refused) {
  const Folder folder(RowType::float32, 4);
  const Control control;
  const auto cut_first = [&](int64_t first, const at::Tensor&) {
    if (first == 0) CHECK(::truncate(folder.store.shards[0].file.c_str(), 1) == 0);
  };
  CHECK(THROWN(for_row_blocks(folder.store, {"rows", 1}, control, cut_first)).find("was cut from") !=
        std::string::npos);
}

TEST(links_are_never_written_through) {
  const Folder folder(RowType::float32, 4);
  const std::string flags = folder.path + "/flags", other = folder.path + "-other";
  std::fclose(std::fopen(other.c_str(), "w"));
  for (const auto link : {::symlink, ::link}) {
    CHECK(link(other.c_str(), flags.c_str()) == 0);
    CHECK(THROWN(RowWriter(folder.store, flags)).find("never written through") != std::string::npos);
    CHECK(::unlink(flags.c_str()) == 0);
  }
  CHECK(::mkfifo(flags.c_str(), 0644) == 0);
  CHECK(THROWN(RowWriter(folder.store, flags)).find("never written through") != std::string::npos);
  std::remove(other.c_str());
}

TEST(a_feature_beyond_float16_is_refused_and_its_row_stays_unwritten) {
  const Folder folder(RowType::float16, 2);
  RowWriter writer(folder.store, folder.path + "/flags");
  const std::vector<int64_t> rows = {1};
  CHECK(THROWN(writer.write(rows, at::full({1, 6}, 7e4, at::kFloat), at::zeros({1}))).find("precision") !=
        std::string::npos);
  CHECK(!writer.written(1));
}
