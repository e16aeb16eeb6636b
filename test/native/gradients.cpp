// Per-instance gradients of every kind of module against plain autograd, one instance at a time, over all building
// blocks.
#include <torch/csrc/autograd/autograd.h>

#include <map>
#include <numeric>

#include "harness.h"
#include "instance/curvature/network_curvature.h"
#include "instance/features/gradient_features.h"
#include "instance/gradients/factors.h"
#include "model/transformer.h"
#include "samples.h"

namespace attribution::test {
namespace {

constexpr double rounding = 1e-10;  // doubles, sums in another order

std::map<std::string, Architecture> architectures() {
  std::map<std::string, Architecture> all;
  Architecture lm = small_architecture();
  lm.head = HeadKind::causal_lm;
  lm.labels = 0;
  all["classification, learned positions"] = small_architecture();
  all["tied"] = lm;
  all["tied"].tied_output = true;
  all["tied"].position_offset = 2;
  all["post-norm, projected embedding, tied"] = all["tied"];
  all["post-norm, projected embedding, tied"].norm_order = NormOrder::post;
  all["post-norm, projected embedding, tied"].final_norm = false;
  all["post-norm, projected embedding, tied"].embedding_size = 10;
  Architecture& alibi = all["alibi, embedding norm, interleaved"] = lm;
  alibi.position = PositionKind::alibi;
  alibi.embedding_norm = true;
  alibi.qkv = QkvLayout::interleaved;
  Architecture& rms = all["rms, rotary, gated, grouped, query and key norms, tied"] = all["tied"];
  rms.position_offset = 0;
  rms.position = PositionKind::rotary;
  rms.rotary = {{4}};
  rms.norm = NormKind::rms;
  rms.gated = true;
  rms.query_key_norm = QueryKeyNorm::head;
  rms.key_value_heads = 2;
  rms.qkv_bias = rms.attention_output_bias = rms.mlp_bias = false;
  all["the same, untied"] = rms;
  all["the same, untied"].tied_output = false;
  Architecture& parallel = all["parallel, partly rotary, choice"] = lm;
  parallel.position = PositionKind::rotary;
  parallel.rotary = {{2}};
  parallel.parallel_residual = true;
  parallel.qkv = QkvLayout::interleaved;
  parallel.head = HeadKind::choice;
  all["transposed, concatenated"] = all["tied"];
  all["transposed, concatenated"].transposed_linears = true;
  all["transposed, concatenated"].qkv = QkvLayout::concatenated;
  const auto language = [](Architecture a) {
    a.head = HeadKind::causal_lm;
    a.labels = 0;
    return a;
  };
  Architecture& capped = all["norms before and after, capped, windowed, tied"] = language(capped_architecture());
  capped.tied_output = true;
  capped.logit_cap = 3;
  all["parallel with one norm, grouped and fused, scaled logits"] = language(parallel_architecture());
  all["parallel with one norm, grouped and fused, scaled logits"].logit_scale = 0.4;
  all["output norms, fused gate"] = language(output_norm_architecture());
  Architecture& bare = all["norms without weights, classification"] = small_architecture();
  bare.norm_weight = NormWeight::none;
  bare.norm_bias = false;
  all["encoder, classification"] = encoder_architecture();
  all["encoder with windows, mean"] = modern_encoder_architecture();
  all["encoder with windows, mean"].readout = Readout::mean;
  Architecture& masked = all["encoder, masked, tied with a bias"] = encoder_architecture();
  masked.head = HeadKind::masked_lm;
  masked.labels = 0;
  masked.tied_output = masked.output_bias = true;
  masked.head_transform = {Activation::gelu, true, true};
  return all;
}

/// Ragged instances with repeated tokens; choices have two rows each.
Instances sample_instances(const Architecture& a) {
  auto owner = std::make_shared<OwnedInstances>();
  const std::vector<int> lengths{5, 2, 7, 1, 4, 6};
  for (size_t row = 0; row < lengths.size(); ++row) {
    for (int t = 0; t < lengths[row]; ++t) {
      owner->tokens.push_back(static_cast<int32_t>((5 * row + (t % 3) * 4 + 1) % 30));
      if (a.head == HeadKind::causal_lm)
        owner->targets.push_back(t % 4 == 3 ? static_cast<int32_t>(no_target)
                                            : static_cast<int32_t>((t * 11 + row) % 30));
    }
    if (a.head == HeadKind::masked_lm) {
      owner->targets.resize(owner->tokens.size(), static_cast<int32_t>(no_target));
      owner->targets[owner->tokens.size() - static_cast<size_t>(lengths[row] / 2) - 1] = static_cast<int32_t>(3 * row);
    }
    owner->row_offsets.push_back(static_cast<int32_t>(owner->tokens.size()));
    if (a.head == HeadKind::choice && row % 2 == 0) continue;
    owner->group_offsets.push_back(static_cast<int32_t>(row + 1));
    owner->labels.push_back(a.predicts_tokens() ? -1 : static_cast<int32_t>(row % 2));
  }
  return {owner->tokens, owner->row_offsets, owner->group_offsets, owner->labels, owner->targets, owner};
}

/// All modules, a tied output being the token embedding's.
std::vector<std::string> selected_names(const Architecture& a) {
  auto names = module_names(a);
  if (a.tied_output) names.pop_back();
  return names;
}

/// One plain autograd call per instance: gradients by weight name, weights required to have them.
std::map<std::string, std::vector<at::Tensor>> plain_gradients(const Model& model, const Instances& d,
                                                               Reduction reduction) {
  Model leaves = model;
  std::vector<at::Tensor> parameters;
  std::vector<std::string> names;
  for (const WeightSlot& slot : weight_slots(leaves)) {
    *slot.tensor = slot.tensor->detach().clone().requires_grad_(true);
    parameters.push_back(*slot.tensor);
    names.push_back(slot.name);
  }
  std::map<std::string, std::vector<at::Tensor>> gradients;
  const at::AutoGradMode grad(true);
  for (int64_t i = 0; i < d.size(); ++i) {
    const Batch batch = make_batch(d, {i}, model);
    const auto found =
        torch::autograd::grad({instance_losses(leaves, forward(leaves, batch), batch, reduction).sum()}, parameters);
    for (size_t k = 0; k < names.size(); ++k) gradients[names[k]].push_back(found[k]);
  }
  return gradients;
}

/// [instance, parameter] of a module as dense_gradients lays it out.
at::Tensor module_gradients(const Model& model, ModuleId id, std::map<std::string, std::vector<at::Tensor>>& plain) {
  const std::string name = module_name(model.architecture, id);
  std::vector<at::Tensor> rows;
  for (size_t i = 0; i < plain[name + ".weight"].size(); ++i) {
    const at::Tensor weight = plain[name + ".weight"][i];
    const at::Tensor flat = (parameters_of(model, id).transposed ? weight.t() : weight).reshape({-1});
    rows.push_back(plain.count(name + ".bias") ? at::cat({flat, plain[name + ".bias"][i]}) : flat);
  }
  return at::stack(rows);
}

Batch whole_batch(const Model& model, const Instances& d) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < d.size(); ++i) all.push_back(i);
  return make_batch(d, all, model);
}

}  // namespace

TEST(gradients_of_every_module_are_those_of_plain_autograd) {
  for (const auto& [what, a] : architectures()) {
    const Model model = small_model(a);
    const Instances d = sample_instances(a);
    const ModuleSelection modules(a, selected_names(a));
    for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
      auto plain = plain_gradients(model, d, reduction);
      std::vector<at::Tensor> parts;
      for (size_t k = 0; k < modules.size(); ++k) parts.push_back(module_gradients(model, modules.id(k), plain));
      const at::Tensor wanted = at::cat(parts, 1);
      CHECK_EQUAL(wanted.size(1), parameter_width(model, modules));
      const Factors factors = gradient_factors(model, whole_batch(model, d), modules, reduction);
      const double size = wanted.abs().max().item<double>();
      CHECK_CLOSE(largest_difference(dense_gradients(factors), wanted) / size, 0, rounding);
      for (const at::Tensor& part : parts) CHECK(part.abs().max().item<double>() > 0);
    }
  }
}

TEST(products_of_factored_gradients_are_those_of_dense_ones) {
  for (const auto& [what, a] : architectures()) {
    const Model model = small_model(a);
    const Instances d = sample_instances(a);
    for (const std::string& name : selected_names(a)) {
      const ModuleSelection modules(a, {name});
      const Factors factors = gradient_factors(model, whole_batch(model, d), modules, Reduction::sum);
      const Factors two = gradient_factors(model, make_batch(d, {2, 0}, model), modules, Reduction::sum);
      const at::Tensor dense = dense_gradients(factors), products = at::matmul(dense, dense.t());
      const double size = products.abs().max().item<double>();
      CHECK_CLOSE(largest_difference(pair_products(factors, factors), products) / size, 0, rounding);
      CHECK_CLOSE(largest_difference(pair_products(two, factors), products.index_select(0, at::tensor({2, 0}))) / size,
                  0, rounding);
      CHECK_CLOSE(largest_difference(squared_norms(factors), products.diagonal()) / size, 0, rounding);
      const at::Tensor vectors = at::arange(dense.size(1), dense.options()).cos().unsqueeze(0).repeat({3, 1}) *
                                 at::tensor({1.0, -2.0, 0.5}, dense.options()).unsqueeze(1);
      const at::Tensor by_vectors = at::matmul(vectors, dense.t());
      CHECK_CLOSE(
          largest_difference(vector_products(vectors, factors), by_vectors) / by_vectors.abs().max().item<double>(), 0,
          rounding);
      CHECK_CLOSE(largest_difference(vector_products(vectors.narrow(0, 0, 1), two),
                                     by_vectors.narrow(0, 0, 1).index_select(1, at::tensor({2, 0}))) /
                      by_vectors.abs().max().item<double>(),
                  0, rounding);
    }
  }
}

TEST(features_of_rank_0_are_the_gradients_and_sum_to_the_batch) {
  for (const auto& [what, a] : architectures()) {
    const Model model = small_model(a);
    const Instances d = sample_instances(a);
    const Batch batch = whole_batch(model, d);
    auto plain = plain_gradients(model, d, Reduction::sum);
    for (const std::string& name : selected_names(a)) {
      FeatureSettings settings;
      settings.modules = {name};
      settings.rank = 0;
      const FeatureExtractor extractor(model, settings);
      const at::Tensor features = extractor.features(model, batch).values;
      const ModuleId id = extractor.modules().id(0);
      at::Tensor wanted = module_gradients(model, id, plain);
      const Linear own = parameters_of(model, id);
      if (kind_of(id.module) == ModuleKind::linear && own.bias.defined()) {  // the bias beside its row
        const int64_t output = own.matrix().size(0), input = own.matrix().size(1);
        const at::Tensor weight = wanted.narrow(1, 0, output * input).view({-1, output, input});
        wanted = at::cat({weight, wanted.narrow(1, output * input, output).unsqueeze(2)}, 2).flatten(1);
      }
      const double size = wanted.abs().max().item<double>();
      CHECK_CLOSE(largest_difference(features, wanted) / size, 0, rounding);
      Model leaf = model;
      Parameters& leaves = parameters_of(leaf, id);
      leaves.weight = leaves.weight.detach().clone().requires_grad_(true);
      const at::AutoGradMode grad(true);
      const at::Tensor summed = torch::autograd::grad(
          {instance_losses(leaf, forward(leaf, batch), batch, Reduction::sum).sum()}, {leaves.weight})[0];
      const at::Tensor weights = dense_gradients(gradient_factors(model, batch, extractor.modules(), Reduction::sum))
                                     .sum(0)
                                     .narrow(0, 0, summed.numel());
      CHECK_CLOSE(largest_difference(weights, (leaves.transposed ? summed.t() : summed).reshape({-1})) /
                      summed.abs().max().item<double>(),
                  0, rounding);
    }
  }
}

/// H v of the summed loss by central differences of the dense gradients.
at::Tensor finite_products(const Model& model, const Batch& batch, const ModuleSelection& modules,
                           const at::Tensor& vector) {
  constexpr double step = 1e-4;  // along a unit vector
  at::Tensor difference;
  for (const double sign : {1.0, -1.0}) {
    Model moved = model;
    int64_t place = 0;
    auto move = [&](at::Tensor& parameter, bool transposed) {
      const at::Tensor part = vector.narrow(0, place, parameter.numel());
      place += parameter.numel();
      parameter = parameter + sign * step *
                                  (transposed ? part.view({parameter.size(1), parameter.size(0)}).t()
                                              : part.view(parameter.sizes()));
    };
    for (size_t k = 0; k < modules.size(); ++k) {
      Parameters& own = parameters_of(moved, modules.id(k));
      move(own.weight, own.transposed);
      if (own.bias.defined()) move(own.bias, false);
    }
    const at::Tensor sum =
        dense_gradients(gradient_factors(moved, batch, modules, Reduction::sum)).sum(0) * (sign / (2 * step));
    difference = difference.defined() ? difference + sum : sum;
  }
  return difference;
}

TEST(curvature_of_every_kind_of_module_is_the_difference_of_gradients) {
  for (const auto& [what, a] : architectures()) {
    const Model model = small_model(a);
    const Instances d = sample_instances(a);
    const ModuleSelection modules(a, selected_names(a));
    const auto curvature = network_curvature(model, d, modules, {});
    const at::Tensor waves = at::arange(parameter_width(model, modules), at::kDouble).cos(),
                     vector = waves / waves.norm();
    std::vector<int64_t> all(static_cast<size_t>(d.size()));
    std::iota(all.begin(), all.end(), 0);
    const at::Tensor products = curvature->products(all, vector.unsqueeze(0))[0],
                     wanted = finite_products(model, whole_batch(model, d), modules, vector);
    CHECK_CLOSE(largest_difference(products, wanted) / wanted.abs().max().item<double>(), 0,
                1e-6);  // of a difference quotient
  }
}

TEST(rows_of_exact_features_bound_a_batch) {
  const Model model = small_model(small_architecture());
  FeatureSettings settings;
  settings.modules = {"embedding.token"};
  settings.rank = 0;
  const FeatureExtractor extractor(model, settings);
  CHECK_EQUAL(extractor.width(), int64_t{30 * 16});
  const int64_t most = (int64_t{1} << 28) / extractor.width();
  CHECK(extractor.fits({most, most, 1}));
  CHECK(!extractor.fits({most + 1, most + 1, 1}));
  CHECK(extractor.fits({1, 1, 1}));
}

TEST(a_tied_table_is_one_module_with_both_uses) {
  const Architecture a = architectures()["tied"];
  CHECK(ModuleSelection(a, {"embedding.token"}).taps_head());
  CHECK(!ModuleSelection(a, {"embedding.token"}).has_head());
  CHECK(!ModuleSelection(a, {"embedding.position"}).taps_head());
  CHECK(THROWN(ModuleSelection(a, {"embedding.token", "output"})).find("tied") != std::string::npos);
}

}  // namespace attribution::test
