#include "instance/gradients/quantity.h"

#include <limits>

#include "core/error.h"
#include "model/evaluate.h"
#include "model/linear.h"
#include "model/norm.h"
#include "model/transformer.h"

namespace attribution {
namespace {

using Kind = Quantity::Kind;

/// Stands for the position that the head reads; lib/instance/quantity.ts gives it.
constexpr int64_t readout_position = std::numeric_limits<int32_t>::min();

/// A position within a row of so many tokens.
int64_t place_of(int64_t position, int64_t length, int64_t instance) {
  const int64_t place = position < 0 ? length + position : position;
  if (place < 0 || place >= length)
    fail(Code::invalid, "Query ", instance, " has a row of ", length, " tokens, but \"positions\" names ", position);
  return place;
}

at::Tensor means_by_instance(const at::Tensor& values, const at::Tensor& instance, int64_t size) {
  const at::Tensor zeros = at::zeros({size}, values.options());
  return zeros.index_add(0, instance, values) / zeros.index_add(0, instance, at::ones_like(values)).clamp_min(1);
}

void require_within(int64_t value, int64_t end, const char* name) {
  if (value < 0 || value >= end)
    fail(Code::invalid, "Expected \"", name, "\" within 0–", end - 1, " but received ", value);
}

}  // namespace

void check_quantity(const Model& model, const Quantity& q, const Instances& queries) {
  const Architecture& a = model.architecture;
  if (q.is_loss()) return;
  if (q.kind == Kind::output) {
    const int64_t classes = a.predicts_tokens() ? a.vocabulary : a.labels;
    for (const auto* labels : {&q.labels, &q.contrasts}) {
      if (labels->empty() && labels == &q.contrasts) continue;
      if (static_cast<int64_t>(labels->size()) != queries.size())
        fail(Code::invalid, "Expected a label for each of the ", queries.size(), " queries");
      if (a.head == HeadKind::choice) continue;  // each has its own number of choices
      for (const int64_t label : *labels) require_within(label, classes, "label");
    }
    return;
  }
  require_within(q.layer, a.layers, "layer");
  if (q.kind == Kind::neuron) require_within(q.unit, a.intermediate, "unit");
  if (q.kind == Kind::head || q.kind == Kind::attention) require_within(q.unit, a.heads, "head");
  const int64_t width = q.kind == Kind::head ? a.head_size : q.kind == Kind::residual ? a.hidden : 0;
  if (width > 0 && (!q.direction.defined() || q.direction.numel() != width))
    fail(Code::invalid, "Expected \"direction\" to be ", width, " numbers");
}

QuantityWatch::QuantityWatch(const Model& model, const Batch& batch, const Quantity& quantity)
    : model_(model), batch_(batch), quantity_(quantity) {
  const Architecture& a = model.architecture;
  const at::Tensor readout = batch.readout.to(at::kCPU);
  std::vector<int64_t> tokens;
  for (int64_t instance = 0; instance < batch.size(); ++instance) {
    const auto i = static_cast<size_t>(instance);
    for (int64_t row = batch.group_offsets[i]; row < batch.group_offsets[i + 1]; ++row) {
      const int64_t start = batch.row_offsets[static_cast<size_t>(row)],
                    length = batch.row_offsets[static_cast<size_t>(row) + 1] - start;
      const auto add = [&](int64_t place) {
        tokens.push_back(start + place);
        starts_.push_back(start);
        lengths_.push_back(length);
        owners_.push_back(batch.instances[i]);
      };
      for (const int64_t position : quantity.positions) {
        if (position != readout_position) {
          add(place_of(position, length, batch.instances[i]));
        } else if (a.readout == Readout::mean && !a.predicts_tokens() && quantity.kind != Kind::output) {
          fail(Code::unsupported,
               "This classifier reads the mean of all positions: give \"positions\", for example \"all\"");
        } else {
          add(readout[row].item<int64_t>() - start);
        }
      }
      for (int64_t place = 0; quantity.positions.empty() && place < length; ++place) add(place);
    }
  }
  tokens_ = at::tensor(tokens, at::kLong).to(model.device);
  head_tokens_ = model.architecture.head == HeadKind::causal_lm ? tokens_ : batch.readout;
}

void QuantityWatch::attach(Hooks& hooks) {
  const Kind kind = quantity_.kind;
  if (kind == Kind::neuron || kind == Kind::head) {
    const Site watched = kind == Kind::neuron ? Site::neurons : Site::heads;
    hooks.site = [this, watched](Site site, int64_t layer, const at::Tensor& x) {
      if (site == watched && layer == quantity_.layer) seen_ = x;
      return x;
    };
  }
  if (kind == Kind::residual) watch_residual(hooks);
  if (kind == Kind::attention) watch_attention(hooks);
}

/// The residual after a block is what the next norm reads; of a post-norm block what its last norm gives.
void QuantityWatch::watch_residual(Hooks& hooks) {
  const Architecture& a = model_.architecture;
  const bool last = quantity_.layer == a.layers - 1;
  const bool post = a.norm_order == NormOrder::post;
  if (a.norm_order == NormOrder::output && !last)
    fail(Code::unsupported,
         "The residual after a block is watched at the next norm that reads it, and this model has none there");
  const ModuleId reader = post   ? ModuleId{Module::mlp_norm, quantity_.layer}
                          : last ? ModuleId{Module::final_norm, -1}
                                 : ModuleId{Module::attention_norm, quantity_.layer + 1};
  const auto norm = hooks.norm;
  hooks.norm = [this, norm, reader](ModuleId id, const Norm& own, const at::Tensor& input) {
    const at::Tensor output = norm ? norm(id, own, input) : apply(model_, id, input);
    if (id == reader) seen_ = model_.architecture.norm_order == NormOrder::post ? output : input;
    return output;
  };
}

void QuantityWatch::watch_attention(Hooks& hooks) {
  const auto linear = hooks.linear;
  hooks.linear = [this, linear](ModuleId id, const Linear& own, const at::Tensor& input, const at::Tensor& from) {
    const at::Tensor output = linear ? linear(id, own, input, from) : apply(own, input);
    if (id.layer != quantity_.layer || id.part == Part::a) return output;
    at::Tensor& seen = outputs_[id.module];
    seen = id.part == Part::own ? output : seen + output * own.scale;  // an adapter's B comes after W
    return output;
  };
  const auto norm = hooks.norm;
  hooks.norm = [this, norm](ModuleId id, const Norm& own, const at::Tensor& input) {
    const at::Tensor output = norm ? norm(id, own, input) : apply(model_, id, input);
    if (id.layer == quantity_.layer) outputs_[id.module] = output;
    return output;
  };
}

QueryKeyValue QuantityWatch::seen_attention() const {
  Hooks again;  // the same pieces, on the outputs that are in the graph
  again.linear = [this](ModuleId id, const Linear&, const at::Tensor&, const at::Tensor&) {
    return id.part == Part::own ? outputs_.at(id.module) : at::zeros({}, model_.options());  // an adapter's is in it
  };
  again.norm = [this](ModuleId id, const Norm&, const at::Tensor&) { return outputs_.at(id.module); };
  return project(model_, quantity_.layer, {}, position_tables(model_, batch_).rotations, again);
}

at::Tensor QuantityWatch::values(const at::Tensor& hidden, const Hooks& hooks) const {
  if (quantity_.kind == Kind::output) return output_values(hidden, hooks);
  const at::Tensor values =
      means_by_instance(wide(row_values()), batch_.token_instance.index_select(0, tokens_), batch_.size());
  if (!hooks.taps_head) return values;
  return values + 0 * head_logits(model_, hidden.index_select(0, head_tokens_), hooks).sum();
}

at::Tensor QuantityWatch::row_values() const {
  if (quantity_.kind == Kind::attention) return attention_values();
  const at::Tensor rows = seen_.index_select(0, tokens_);
  if (quantity_.kind == Kind::neuron) return rows.select(1, quantity_.unit);
  const int64_t size = model_.architecture.head_size;
  const at::Tensor features = quantity_.kind == Kind::head ? rows.narrow(1, quantity_.unit * size, size) : rows;
  return at::mv(features, quantity_.direction.to(features.options()));
}

at::Tensor QuantityWatch::output_values(const at::Tensor& hidden, const Hooks& hooks) const {
  const bool language = model_.architecture.head == HeadKind::causal_lm;
  const at::Tensor scores = language ? head_logits(model_, hidden.index_select(0, head_tokens_), hooks)
                                     : readout_class_logits(model_, hidden, batch_, hooks);
  const at::Tensor instance = language ? head_instance() : at::arange(batch_.size(), batch_.token_instance.options());
  const auto of_rows = [&](const std::vector<int64_t>& all) {
    if (all.empty()) return at::Tensor();
    std::vector<int64_t> own;
    for (const int64_t index : batch_.instances) own.push_back(all[static_cast<size_t>(index)]);
    return at::tensor(own, at::kLong).to(model_.device).index_select(0, instance);
  };
  return means_by_instance(
      target_values(scores, quantity_.target, of_rows(quantity_.labels), of_rows(quantity_.contrasts)), instance,
      batch_.size());
}

at::Tensor QuantityWatch::attention_values() const {
  const Architecture& a = model_.architecture;
  const LayerAttention& own = a.layer_attention(quantity_.layer);
  const QueryKeyValue seen = seen_attention();
  const at::Tensor query = seen.query.select(1, quantity_.unit),
                   key = seen.key.select(1, quantity_.unit / (a.heads / a.key_value_heads));
  const at::Tensor slope =
      a.position == PositionKind::alibi ? alibi_slopes(a.heads)[quantity_.unit].to(query.options()) : at::Tensor();
  const at::Tensor at_tokens = tokens_.cpu();
  std::vector<at::Tensor> weights;
  for (size_t i = 0; i < starts_.size(); ++i) {
    const int64_t token = at_tokens[static_cast<int64_t>(i)].item<int64_t>(), own_place = token - starts_[i],
                  visible = a.causal ? own_place + 1 : lengths_[i];
    const int64_t place = place_of(quantity_.key, lengths_[i], owners_[i]);
    if (place >= visible)
      fail(Code::invalid, "A head at position ", own_place, " cannot attend to the later position ", place);
    at::Tensor scores = at::mv(key.narrow(0, starts_[i], visible), query[token]) / own.divisor;
    if (a.attention_cap > 0) scores = at::tanh(scores / a.attention_cap) * a.attention_cap;
    if (slope.defined()) scores = scores + slope * at::arange(visible, scores.options());
    if (own.window > 0 && visible > own.window)
      scores = scores.masked_fill((at::arange(visible, at::kLong) - own_place).abs().ge(own.window).to(scores.device()),
                                  -std::numeric_limits<double>::infinity());
    weights.push_back(at::softmax(scores, 0)[place]);
  }
  return at::stack(weights);
}

Factors gradient_factors(const Model& model, const Batch& batch, const ModuleSelection& modules, Reduction reduction,
                         const Quantity& of) {
  if (of.is_loss()) return gradient_factors(model, batch, modules, reduction);
  QuantityWatch watch(model, batch, of);
  const auto minus = [&](const at::Tensor& hidden, const Hooks& hooks) { return -watch.values(hidden, hooks).sum(); };
  return factors_of(model, batch, modules, minus,
                    {[&](Hooks& hooks) { watch.attach(hooks); }, [&] { return watch.head_instance(); }});
}

at::Tensor quantity_values(const Model& model, const Instances& instances, const Quantity& quantity,
                           int64_t batch_tokens, const Control& control) {
  check_instances(model, instances, "instances");
  check_quantity(model, quantity, instances);
  const at::NoGradGuard no_grad;
  at::Tensor values = at::empty({instances.size()}, at::kDouble);
  for (const auto& members : pack(instances, batch_tokens)) {
    control.check();
    const Batch batch = make_batch(instances, members, model);
    QuantityWatch watch(model, batch, quantity);
    Hooks hooks;
    watch.attach(hooks);
    const at::Tensor own = watch.values(forward(model, batch, hooks), hooks);
    values.index_copy_(0, at::tensor(members, at::kLong), own.to(at::kCPU, at::kDouble));
  }
  return values;
}

}  // namespace attribution
