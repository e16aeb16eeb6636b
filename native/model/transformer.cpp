#include "model/transformer.h"

#include "model/linear.h"
#include "model/norm.h"

namespace attribution {
namespace {

at::Tensor at_site(Site site, int64_t layer, const at::Tensor& x, const Hooks& hooks) {
  return hooks.site ? hooks.site(site, layer, x) : x;
}

/// The neurons of a layer without experts at their site, where it has a place for as many as any layer has.
at::Tensor at_neurons(const Architecture& a, int64_t layer, const at::Tensor& x, const Hooks& hooks) {
  if (!hooks.site) return x;
  const int64_t own = x.size(-1), missing = a.intermediate - own;
  if (missing == 0) return hooks.site(Site::neurons, layer, x);
  return hooks.site(Site::neurons, layer, at::constant_pad_nd(x, {0, missing})).narrow(-1, 0, own);
}

at::Tensor run_lookup(const Model& model, ModuleId id, const at::Tensor& rows, const Hooks& hooks) {
  const at::Tensor& table = model.weights[id].weight;
  return hooks.lookup ? hooks.lookup(id, table, rows) : at::embedding(table, rows);
}

/// The residual x with what a sublayer's output projection made: as it is, through the block's output norm, or both
/// through the norm of their sum.
at::Tensor add_to_residual(const Model& model, ModuleId output_norm, ModuleId sum_norm, const at::Tensor& x,
                           const at::Tensor& projected, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  at::Tensor written = drop(projected, hooks.dropout ? hooks.dropout->residual : 0, hooks);
  if (a.norms_output()) written = run_norm(model, output_norm, written, hooks);
  if (a.residual_scale != 1) written = written * a.residual_scale;
  const at::Tensor sum = x + written;
  return a.norm_order == NormOrder::post ? run_norm(model, sum_norm, sum, hooks) : sum;
}

}  // namespace

at::Tensor summed_embeddings(const Model& model, const Batch& batch, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  at::Tensor x = run_lookup(model, {Module::token_embedding, -1}, batch.tokens, hooks);
  if (a.embedding_scale != 1) x = x * at::full({}, a.embedding_scale, x.options());
  if (a.embedding_size != a.hidden) x = run_linear(model, {Module::project_in, -1}, x, hooks);
  if (a.position == PositionKind::learned)
    x = x + run_lookup(model, {Module::position_embedding, -1}, batch.positions + a.position_offset, hooks);
  if (a.token_types > 0) {
    const at::Tensor types = batch.types.defined() ? batch.types : at::zeros_like(batch.tokens);
    x = x + run_lookup(model, {Module::type_embedding, -1}, types, hooks);
  }
  return x;
}

at::Tensor normed_embeddings(const Model& model, const at::Tensor& sum, const Hooks& hooks) {
  return model.architecture.embedding_norm ? run_norm(model, {Module::embedding_norm, -1}, sum, hooks) : sum;
}

at::Tensor embed(const Model& model, const Batch& batch, const Hooks& hooks) {
  const at::Tensor x = normed_embeddings(model, summed_embeddings(model, batch, hooks), hooks);
  return drop(x, hooks.dropout ? hooks.dropout->embedding : 0, hooks);
}

at::Tensor attention_input(const Model& model, int64_t layer, const at::Tensor& x, const Hooks& hooks) {
  return model.architecture.norms_attention(layer) ? run_norm(model, {Module::attention_norm, layer}, x, hooks) : x;
}

at::Tensor after_attention(const Model& model, int64_t layer, const at::Tensor& x, const at::Tensor& heads,
                           const Hooks& hooks) {
  const at::Tensor seen = at_site(Site::heads, layer, heads, hooks);
  const at::Tensor projected = run_linear(model, {Module::attention_output, layer}, seen, hooks);
  return add_attention(model, layer, x, projected, hooks);
}

at::Tensor add_attention(const Model& model, int64_t layer, const at::Tensor& x, const at::Tensor& projected,
                         const Hooks& hooks) {
  return add_to_residual(model, {Module::attention_output_norm, layer}, {Module::attention_norm, layer}, x, projected,
                         hooks);
}

at::Tensor add_mlp(const Model& model, int64_t layer, const at::Tensor& mid, const at::Tensor& projected,
                   const Hooks& hooks) {
  return add_to_residual(model, {Module::mlp_output_norm, layer}, {Module::mlp_norm, layer}, mid, projected, hooks);
}

at::Tensor mlp_input(const Model& model, int64_t layer, const MlpSource& source, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  if (a.shared_norm)
    return source.attention_input.defined() ? source.attention_input : attention_input(model, layer, source.x, hooks);
  const at::Tensor& read = a.parallel_residual ? source.x : source.mid;
  return a.norms_input() ? run_norm(model, {Module::mlp_norm, layer}, read, hooks) : read;
}

Neurons neurons(const Model& model, int64_t layer, const MlpSource& source, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const at::Tensor input = mlp_input(model, layer, source, hooks);
  if (a.has_experts(layer)) return expert_neurons(model, layer, input, hooks);
  const auto linear = [&](Module module) { return run_linear(model, {module, layer}, input, hooks); };
  if (a.fused_gate) {
    const auto parts = linear(Module::gate_up).chunk(2, -1);
    return {at_neurons(a, layer, activate(a, parts[0]) * parts[1], hooks)};
  }
  const at::Tensor up = linear(Module::up);
  if (a.gated) return {at_neurons(a, layer, activate(a, linear(Module::gate)) * up, hooks)};
  return {at_neurons(a, layer, activate(a, at_site(Site::pre_activation, layer, up, hooks)), hooks)};
}

at::Tensor project_neurons(const Model& model, int64_t layer, const Neurons& values, const Hooks& hooks) {
  if (model.architecture.has_experts(layer)) return project_experts(model, layer, values, hooks);
  return run_linear(model, {Module::down, layer}, values.values, hooks);
}

at::Tensor after_mlp(const Model& model, int64_t layer, const at::Tensor& mid, const Neurons& values,
                     const Hooks& hooks) {
  return add_mlp(model, layer, mid, project_neurons(model, layer, values, hooks), hooks);
}

at::Tensor finish(const Model& model, const at::Tensor& x, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const at::Tensor normed = a.final_norm ? run_norm(model, {Module::final_norm, -1}, x, hooks) : x;
  return a.embedding_size != a.hidden ? run_linear(model, {Module::project_out, -1}, normed, hooks) : normed;
}

at::Tensor forward_from(const Model& model, const Batch& batch, at::Tensor x, const Hooks& hooks) {
  const PositionTables tables = position_tables(model, batch);
  for (int64_t layer = 0; layer < model.architecture.layers; ++layer) {
    const at::Tensor input = attention_input(model, layer, x, hooks);
    const QueryKeyValue qkv = project(model, layer, input, tables.rotations, hooks);
    const at::Tensor heads = attend(model, layer, qkv, batch, tables, hooks);
    const at::Tensor mid = after_attention(model, layer, x, heads, hooks);
    x = after_mlp(model, layer, mid, neurons(model, layer, {x, mid, input}, hooks), hooks);
  }
  return x;
}

at::Tensor forward(const Model& model, const Batch& batch, const Hooks& hooks, NotFinite rule) {
  const at::Tensor hidden = finish(model, forward_from(model, batch, embed(model, batch, hooks), hooks), hooks);
  if (rule == NotFinite::refuse) require_finite(batch, hidden, batch.token_instance);
  return hidden;
}

}  // namespace attribution
