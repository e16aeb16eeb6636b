// The core below the methods: batches, positions, the prefix cache, module names, files.
#include <torch/csrc/autograd/autograd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "core/error.h"
#include "harness.h"
#include "instance/gradients/modules.h"
#include "model/attention.h"
#include "model/prefix/prefix_cache.h"
#include "model/transformer.h"
#include "samples.h"
#include "storage/blocks.h"

namespace attribution::test {

constexpr double rounding = 1e-12;  // doubles, some hundred steps

TEST(packing_keeps_every_instance_once_and_within_the_budget) {
  const Instances d = instances_of({5, 1, 9, 3, 3, 20, 2});
  for (const int64_t budget : {1, 6, 12, 20, 1000}) {
    std::multiset<int64_t> seen;
    for (const auto& batch : pack(d, budget)) {
      int64_t longest = 0;
      for (const int64_t i : batch) {
        seen.insert(i);
        longest = std::max(longest, d.row_length(i));
      }
      CHECK(batch.size() == 1 || static_cast<int64_t>(batch.size()) * longest <= budget);
    }
    CHECK(seen == (std::multiset<int64_t>{0, 1, 2, 3, 4, 5, 6}));
  }
  CHECK_EQUAL(pack(d, 1).size(), size_t{7});
  CHECK_EQUAL(pack(d, 1000).size(), size_t{1});
}

TEST(a_batch_holds_rows_without_padding) {
  const Model model = small_model(small_architecture());
  const Batch batch = make_batch(instances_of({2, 4, 1}), {2, 1}, model);
  CHECK(batch.row_offsets == (std::vector<int64_t>{0, 1, 5}));
  CHECK_EQUAL(batch.longest, int64_t{4});
  CHECK(!batch.equal);
  CHECK(batch.positions.equal(at::tensor({0, 0, 1, 2, 3}, at::kLong)));
  CHECK(batch.readout.equal(at::tensor({0, 4}, at::kLong)));
  CHECK(batch.token_instance.equal(at::tensor({0, 1, 1, 1, 1}, at::kLong)));
  CHECK(batch.unpad_index.equal(at::tensor({0, 4, 5, 6, 7}, at::kLong)));
  const Model encoder = small_model(encoder_architecture());
  CHECK(make_batch(instances_of({2, 4, 1}), {2, 1}, encoder).readout.equal(at::tensor({0, 1}, at::kLong)));
  const RowCopies two = copies_of(batch, {1}, 2);
  CHECK(two.source.equal(at::tensor({1, 2, 3, 4, 1, 2, 3, 4}, at::kLong)));
  CHECK(two.batch.readout.equal(at::tensor({3, 7}, at::kLong)));
  CHECK(two.batch.equal);
}

TEST(padding_reaches_no_row_of_an_encoder_and_leaves_no_gradient_that_is_not_finite) {
  for (const Architecture& a : {encoder_architecture(), modern_encoder_architecture()}) {
    const Model model = small_model(a);
    const Instances d = instances_of({9, 1, 4});
    for (const bool twice : {false, true}) {
      Hooks hooks;
      hooks.twice_differentiable = twice;
      const auto slopes = [&](std::vector<int64_t> rows) {
        const Batch batch = make_batch(d, std::move(rows), model);
        const at::Tensor x = embed(model, batch, hooks).detach().requires_grad_(true);
        const at::Tensor out = finish(model, forward_from(model, batch, x, hooks), hooks);
        const at::Tensor slope = torch::autograd::grad({out.square().sum()}, {x})[0];
        return at::cat({out.detach(), slope}, 1);
      };
      const at::Tensor together = slopes({0, 1, 2});
      CHECK(at::isfinite(together).all().item<bool>());
      CHECK_CLOSE(largest_difference(together.narrow(0, 9, 1), slopes({1})), 0, 1e-11);
      CHECK_CLOSE(largest_difference(together.narrow(0, 10, 4), slopes({2})), 0, 1e-11);
    }
  }
}

/// A token of row 1 whose position is not finite.
Model overflowing_model(Architecture a) {
  Model model = small_model(a, at::kFloat);
  model.weights[{Module::position_embedding, -1}].weight[3].fill_(3e38);
  return model;
}

TEST(a_row_that_is_not_finite_leaves_its_neighbours_as_they_are_alone) {
  const at::NoGradGuard no_grad;
  Architecture a = small_architecture();
  a.final_norm = false;
  const Model model = overflowing_model(a);
  const Instances d = instances_of({4, 3, 2});
  for (const bool twice : {false, true}) {
    Hooks hooks;
    hooks.twice_differentiable = twice;
    const auto hidden = [&](std::vector<int64_t> rows) {
      return forward(model, make_batch(d, std::move(rows), model), hooks, NotFinite::keep);
    };
    const at::Tensor together = hidden({0, 1, 2});
    CHECK(!at::isfinite(together.narrow(0, 3, 1)).all().item<bool>());
    CHECK_CLOSE(largest_difference(together.narrow(0, 4, 3), hidden({1})), 0, 1e-5);
    CHECK_CLOSE(largest_difference(together.narrow(0, 7, 2), hidden({2})), 0, 1e-5);
  }
}

TEST(rows_that_are_not_finite_are_refused_by_their_indices_in_the_data) {
  const at::NoGradGuard no_grad;
  const Model model = overflowing_model(small_architecture());
  const Batch batch = make_batch(instances_of({3, 4, 2, 5}), {3, 0, 1}, model);
  for (const std::string& message : {THROWN(forward(model, batch)), THROWN(build_cache(model, batch))})
    CHECK(message.find("instances 1, 3") != std::string::npos);
}

TEST(alibi_slopes_are_those_of_the_paper_for_any_number_of_heads) {
  const at::Tensor eight = alibi_slopes(8);
  for (int64_t h = 0; h < 8; ++h) CHECK_CLOSE(eight[h].item<double>(), std::pow(2.0, -(h + 1)), 1e-7);
  // Not a power of two: those of 4 heads, then every other one of 8.
  const at::Tensor six = alibi_slopes(6);
  const double wanted[] = {0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125};
  for (int64_t h = 0; h < 6; ++h) CHECK_CLOSE(six[h].item<double>(), wanted[h], 1e-7);
}

/// What the head reads at the readout positions by a plain forward, with a site's readout values replaced.
at::Tensor plain_readout(const Model& model, const Batch& batch, Site where, int64_t layer, const at::Tensor& values) {
  Hooks hooks;
  hooks.site = [&](Site site, int64_t at, const at::Tensor& x) {
    return site == where && at == layer ? x.index_copy(0, batch.readout, values) : x;
  };
  return forward(model, batch, hooks).index_select(0, batch.readout);
}

/// Extra variants of the prompts' forward equal rows of their own, and change nothing of the cache.
void check_extra(const Model& model, const Batch& batch, const PrefixCache& cache) {
  std::vector<Entry> extra;
  for (int64_t layer = 0; layer < model.architecture.layers; ++layer) {
    for (const Site site : {Site::heads, Site::neurons})
      extra.push_back({site, layer, at::randn({batch.rows(), 2, model.architecture.hidden}, at::kDouble), true});
  }
  const PrefixCache with = build_cache(model, batch, extra);
  CHECK_CLOSE(largest_difference(with.extra, run_entries(model, cache, extra)), 0, rounding);
  CHECK_CLOSE(largest_difference(with.out, cache.out), 0, rounding);
  CHECK_CLOSE(largest_difference(with.layers.back().neurons, cache.layers.back().neurons), 0, rounding);
  extra[0].projected = false;
  CHECK(!THROWN(build_cache(model, batch, extra)).empty());
}

void check_cache(const Architecture& a) {
  const at::NoGradGuard no_grad;
  const Model model = small_model(a);
  for (const auto& lengths : {std::vector<int>{6, 2, 1, 9}, {4, 4, 4, 4}, {1, 1, 1, 1}}) {
    const Batch batch = make_batch(instances_of(lengths), {0, 1, 2, 3}, model);
    const PrefixCache cache = build_cache(model, batch);
    CHECK_CLOSE(largest_difference(finish(model, cache.out), forward(model, batch).index_select(0, batch.readout)), 0,
                rounding);
    for (int64_t layer = 0; layer < a.layers; ++layer) {
      for (const Site site : {Site::heads, Site::neurons}) {
        const at::Tensor values = cache.layers[layer].at(site) * 0.5 + 0.1;
        const at::Tensor entered = run_entries(model, cache, {{site, layer, values.unsqueeze(1)}}).squeeze(1);
        CHECK_CLOSE(largest_difference(entered, plain_readout(model, batch, site, layer, values)), 0, rounding);
        CHECK(largest_difference(entered, finish(model, cache.out)) > 1e-3);
      }
    }
    check_extra(model, batch, cache);
  }
}

TEST(rows_over_the_prefix_cache_equal_full_forwards) {
  Architecture a = small_architecture();
  check_cache(a);
  a.position = PositionKind::rotary;
  a.rotary = {{2}};
  a.parallel_residual = true;
  check_cache(a);
  a.rotary = {{4}};
  a.parallel_residual = false;
  a.norm = NormKind::rms;
  a.gated = true;
  a.key_value_heads = 2;
  a.query_key_norm = QueryKeyNorm::head;
  check_cache(a);
  Architecture alibi = small_architecture();
  alibi.position = PositionKind::alibi;
  alibi.embedding_norm = true;
  alibi.qkv = QkvLayout::interleaved;
  check_cache(alibi);
  Architecture post = small_architecture();
  post.norm_order = NormOrder::post;
  post.final_norm = false;
  post.embedding_size = 10;
  check_cache(post);
  check_cache(capped_architecture());
  check_cache(parallel_architecture());
  check_cache(output_norm_architecture());
  check_cache(encoder_architecture());
  check_cache(modern_encoder_architecture());
}

TEST(several_entries_run_together) {
  const at::NoGradGuard no_grad;
  const Model model = small_model(small_architecture());
  const Batch batch = make_batch(instances_of({3, 5}), {0, 1}, model);
  const PrefixCache cache = build_cache(model, batch);
  std::vector<Entry> entries;
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (const Site site : {Site::heads, Site::neurons})
      entries.push_back(
          {site, layer, at::stack({cache.layers[layer].at(site) * 0, cache.layers[layer].at(site) * 2}, 1)});
  }
  const at::Tensor together = run_entries(model, cache, entries);
  CHECK_EQUAL(together.size(1), int64_t{8});
  for (size_t i = 0; i < entries.size(); ++i) {
    CHECK_CLOSE(
        largest_difference(together.narrow(1, static_cast<int64_t>(2 * i), 2), run_entries(model, cache, {entries[i]})),
        0, rounding);
  }
}

TEST(module_names_are_those_of_the_weights) {
  Architecture a = small_architecture();
  a.gated = true;
  Model model = small_model(a);
  std::set<std::string> weights;
  for (const WeightShape& weight : weight_shapes(a)) weights.insert(weight.name);
  const auto names = module_names(a);
  CHECK_EQUAL(names.front(), std::string("embedding.token"));
  CHECK_EQUAL(names.back(), std::string("score"));
  CHECK_EQUAL(names.size(), size_t{2 + 2 * 9 + 2});
  for (const auto& name : names) CHECK(weights.count(name + ".weight") == 1);
  CHECK(THROWN(ModuleSelection(a, {"layers.2.mlp.up"})).find("layers.2.mlp.up") != std::string::npos);
  CHECK(!THROWN(ModuleSelection(a, {})).empty());
}

TEST(written_weights_read_back_the_same) {
  const Model model = small_model(small_architecture(), at::kFloat);
  const auto path =
      (std::filesystem::temp_directory_path() / ("attribution-native-" + std::to_string(::getpid()))).string();
  Model view = model;
  std::vector<std::string> names;
  std::vector<WeightSource> sources;
  const std::vector<uint8_t> header(16, 'h');
  uint64_t offset = header.size();
  for (const WeightSlot& slot : weight_slots(view)) {
    names.push_back(slot.name);
    WeightSource source;
    source.name = source.weight = slot.name;
    source.dtype = "F32";
    source.shape = slot.shape;
    source.file = path;
    source.offset = offset;
    source.bytes = static_cast<uint64_t>(slot.tensor->numel()) * 4;
    offset += source.bytes;
    sources.push_back(source);
  }
  write_weights(model, path, header, names, at::kFloat, {});
  CHECK_EQUAL(std::filesystem::file_size(path), offset);
  const Model read = open_model(model.architecture, sources, at::kFloat, at::kCPU, -1, 0.02, {});
  CHECK_EQUAL(fingerprint(read), fingerprint(model));
  sources.pop_back();
  CHECK(THROWN(open_model(model.architecture, sources, at::kFloat, at::kCPU, -1, 0.02, {})).find("score.weight") !=
        std::string::npos);
  sources.front().bytes += 4;
  CHECK(!THROWN(open_model(model.architecture, sources, at::kFloat, at::kCPU, -1, 0.02, {})).empty());
  std::filesystem::remove(path);
}

TEST(quantised_blocks_come_back_as_scale_times_number) {
  const auto q8 = block_type("Q8_0");
  CHECK(q8.has_value());
  CHECK_EQUAL(q8->values, int64_t{32});
  CHECK_EQUAL(q8->bytes, int64_t{34});
  std::vector<uint8_t> block(34);
  block[0] = 0x00;
  block[1] = 0x38;  // 0.5 in half precision
  for (int i = 0; i < 32; ++i) block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(i - 16));
  std::vector<float> values(32);
  q8->dequantise(block.data(), values.data());
  for (int i = 0; i < 32; ++i) CHECK_CLOSE(values[i], 0.5 * (i - 16), 0);

  const auto q4 = block_type("Q4_0");
  CHECK(q4.has_value());
  std::vector<uint8_t> nibbles(18);
  nibbles[1] = 0x3c;  // 1
  for (int i = 0; i < 16; ++i) nibbles[2 + i] = static_cast<uint8_t>(i | (15 - i) << 4);
  q4->dequantise(nibbles.data(), values.data());
  for (int i = 0; i < 16; ++i) {
    CHECK_CLOSE(values[i], i - 8, 0);
    CHECK_CLOSE(values[i + 16], 15 - i - 8, 0);
  }
  CHECK(!block_type("F32").has_value());
}

}  // namespace attribution::test
