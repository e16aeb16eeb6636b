#include "model/transformer.h"

#include "core/error.h"
#include "model/linear.h"
#include "model/norm.h"

namespace attribution {
namespace {

at::Tensor drop(const at::Tensor& x, double probability, const Hooks& hooks) {
  if (!hooks.dropout || probability <= 0) return x;
  const double keep = 1 - probability;
  return x * at::empty_like(x).bernoulli_(keep, hooks.dropout->generator) / keep;
}

at::Tensor at_site(Site site, int64_t layer, const at::Tensor& x, const Hooks& hooks) {
  return hooks.site ? hooks.site(site, layer, x) : x;
}

at::Tensor run_lookup(const Model& model, ModuleId id, const at::Tensor& rows, const Hooks& hooks) {
  const at::Tensor& table = model.weights[id].weight;
  return hooks.lookup ? hooks.lookup(id, table, rows) : at::embedding(table, rows);
}

}  // namespace

at::Tensor embed(const Model& model, const Batch& batch, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  at::Tensor x = run_lookup(model, {Module::token_embedding, -1}, batch.tokens, hooks);
  if (a.embedding_size != a.hidden) x = run_linear(model, {Module::project_in, -1}, x, hooks);
  if (a.embedding_norm) x = run_norm(model, {Module::embedding_norm, -1}, x, hooks);
  if (a.position == PositionKind::learned)
    x = x + run_lookup(model, {Module::position_embedding, -1}, batch.positions + a.position_offset, hooks);
  return drop(x, hooks.dropout ? hooks.dropout->embedding : 0, hooks);
}

at::Tensor attention_input(const Model& model, int64_t layer, const at::Tensor& x, const Hooks& hooks) {
  return model.architecture.post_norm ? x : run_norm(model, {Module::attention_norm, layer}, x, hooks);
}

at::Tensor after_attention(const Model& model, int64_t layer, const at::Tensor& x, const at::Tensor& heads,
                           const Hooks& hooks) {
  const at::Tensor seen = at_site(Site::heads, layer, heads, hooks);
  const at::Tensor projected = run_linear(model, {Module::attention_output, layer}, seen, hooks);
  return add_attention(model, layer, x, drop(projected, hooks.dropout ? hooks.dropout->residual : 0, hooks), hooks);
}

at::Tensor add_attention(const Model& model, int64_t layer, const at::Tensor& x, const at::Tensor& projected,
                         const Hooks& hooks) {
  const at::Tensor sum = x + projected;
  return model.architecture.post_norm ? run_norm(model, {Module::attention_norm, layer}, sum, hooks) : sum;
}

at::Tensor add_mlp(const Model& model, int64_t layer, const at::Tensor& mid, const at::Tensor& projected,
                   const Hooks& hooks) {
  const at::Tensor sum = mid + projected;
  return model.architecture.post_norm ? run_norm(model, {Module::mlp_norm, layer}, sum, hooks) : sum;
}

at::Tensor activate(const Architecture& a, const at::Tensor& x) {
  switch (a.activation) {
    case Activation::relu:
      return at::relu(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::silu:
      return at::silu(x);
  }
  fail(Code::unsupported, "Unknown activation");
}

at::Tensor neurons(const Model& model, int64_t layer, const at::Tensor& x, const at::Tensor& mid, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const at::Tensor& read = a.parallel_residual ? x : mid;
  const at::Tensor input = a.post_norm ? read : run_norm(model, {Module::mlp_norm, layer}, read, hooks);
  const at::Tensor up = run_linear(model, {Module::up, layer}, input, hooks);
  if (a.gated) {
    const at::Tensor gate = run_linear(model, {Module::gate, layer}, input, hooks);
    return at_site(Site::neurons, layer, activate(a, gate) * up, hooks);
  }
  return at_site(Site::neurons, layer, activate(a, at_site(Site::pre_activation, layer, up, hooks)), hooks);
}

at::Tensor after_mlp(const Model& model, int64_t layer, const at::Tensor& mid, const at::Tensor& values,
                     const Hooks& hooks) {
  const at::Tensor projected = run_linear(model, {Module::down, layer}, values, hooks);
  return add_mlp(model, layer, mid, drop(projected, hooks.dropout ? hooks.dropout->residual : 0, hooks), hooks);
}

at::Tensor finish(const Model& model, const at::Tensor& x, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const at::Tensor normed = a.final_norm ? run_norm(model, {Module::final_norm, -1}, x, hooks) : x;
  return a.embedding_size != a.hidden ? run_linear(model, {Module::project_out, -1}, normed, hooks) : normed;
}

at::Tensor forward_from(const Model& model, const Batch& batch, at::Tensor x, const Hooks& hooks) {
  const PositionTables tables = position_tables(model, batch);
  for (int64_t layer = 0; layer < model.architecture.layers; ++layer) {
    const QueryKeyValue qkv = project(model, layer, attention_input(model, layer, x, hooks), tables, hooks);
    const at::Tensor heads = attend(model, qkv, batch, tables, hooks);
    const at::Tensor mid = after_attention(model, layer, x, heads, hooks);
    x = after_mlp(model, layer, mid, neurons(model, layer, x, mid, hooks), hooks);
  }
  return x;
}

at::Tensor forward(const Model& model, const Batch& batch, const Hooks& hooks) {
  return finish(model, forward_from(model, batch, embed(model, batch, hooks), hooks), hooks);
}

}  // namespace attribution
