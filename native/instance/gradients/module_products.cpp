#include "instance/gradients/module_products.h"

#include <algorithm>

#include "model/linear.h"

namespace attribution {
namespace {

/// A gradient as Σ_t r_t c_tᵀ, over the rows and columns of the weight [output, input] or of the table [row, feature].
struct Outer {
  at::Tensor rows;     // [token, row], or [token] as places of a 1
  at::Tensor columns;  // [token, column]
  bool bias;           // a column of 1 more

  explicit Outer(const ModuleFactors& m)
      : rows(m.kind == ModuleKind::lookup ? m.inputs : m.gradients),
        columns(m.kind == ModuleKind::lookup ? m.gradients : m.inputs),
        bias(m.bias) {}
  bool is_lookup() const { return rows.dim() == 1; }
  Outer of(int64_t begin, int64_t tokens) const {
    Outer part = *this;
    part.rows = rows.narrow(0, begin, tokens);
    part.columns = columns.narrow(0, begin, tokens);
    return part;
  }
};

/// A tied table is used twice.
std::vector<const ModuleFactors*> uses_of(const ModuleFactors& m) {
  return m.head ? std::vector<const ModuleFactors*>{&m, m.head.get()} : std::vector<const ModuleFactors*>{&m};
}

/// [instance, token] with a 1 where the token is the instance's.
at::Tensor membership(const ModuleFactors& m, int64_t instances) {
  const int64_t tokens = m.instance.size(0);
  const at::Tensor ones = at::ones({1, tokens}, m.gradients.options());
  return at::zeros({instances, tokens}, m.gradients.options()).scatter(0, m.instance.unsqueeze(0), ones);
}

at::Tensor row_products(const Outer& left, const Outer& right) {
  if (left.is_lookup() && right.is_lookup()) return left.rows.unsqueeze(1).eq(right.rows.unsqueeze(0));
  if (left.is_lookup()) return right.rows.index_select(1, left.rows).t();
  if (right.is_lookup()) return left.rows.index_select(1, right.rows);
  return product(left.rows, right.rows);
}

/// Inner products of the parts of all pairs of tokens, [left token, right token].
at::Tensor token_products(const Outer& left, const Outer& right) {
  at::Tensor columns = product(left.columns, right.columns);
  if (left.bias && right.bias) columns = columns + 1;
  return columns * row_products(left, right);
}

/// Σ_t gᵀ V a by the cheaper way: V times every token, or the instances' own gradients first.
void add_weight_products(at::Tensor& total, const at::Tensor& vectors, const ModuleFactors& m, int64_t instances) {
  const int64_t queries = vectors.size(0), tokens = m.inputs.size(0), output = m.gradients.size(1),
                input = m.inputs.size(1);
  if (queries * tokens <= tokens + queries * instances) {
    for (int64_t v = 0; v < queries; ++v) {
      const at::Tensor seen = product(m.inputs, vectors[v].view({output, input}));
      total[v].index_add_(0, m.instance, (seen * m.gradients).sum(1));
    }
    return;
  }
  const auto offsets = token_offsets(m, instances);
  const int64_t block =
      std::max<int64_t>(1, (int64_t{64} << 20) / (output * input * 4));  // 256 MB of dense gradients at a time
  for (int64_t first = 0; first < instances; first += block) {
    const int64_t count = std::min(block, instances - first);
    at::Tensor rows = at::empty({count, output, input}, m.gradients.options());
    for (int64_t i = 0; i < count; ++i) {
      const int64_t begin = offsets[first + i], length = offsets[first + i + 1] - begin;
      at::Tensor row = rows[i];  // short sums: libtorch's own product beats oneDNN's
      at::mm_out(row, m.gradients.narrow(0, begin, length).t(), m.inputs.narrow(0, begin, length));
    }
    total.narrow(1, first, count).add_(product(vectors.contiguous(), rows.view({count, -1})));
  }
}

/// Σ_t V[e_t] · g_t of vectors [vector, row * feature].
void add_table_products(at::Tensor& total, const at::Tensor& vectors, const ModuleFactors& m) {
  for (int64_t v = 0; v < vectors.size(0); ++v) {
    const at::Tensor rows = vectors[v].view({m.rows, m.gradients.size(1)}).index_select(0, m.inputs);
    total[v].index_add_(0, m.instance, (rows * m.gradients).sum(1));
  }
}

}  // namespace

at::Tensor norm_parts(const at::Tensor& gradients, const at::Tensor& normalised, bool bias) {
  const at::Tensor weight = gradients * normalised;
  const at::Tensor parts = bias ? at::cat({weight, gradients}, -1) : weight;
  return parts.dim() == 3 ? parts.sum(1) : parts;
}

at::Tensor instance_sums(const at::Tensor& rows, const at::Tensor& instance, int64_t instances) {
  const auto high = rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::zeros({instances, rows.size(1)}, rows.options().dtype(high)).index_add_(0, instance, rows.to(high));
}

at::Tensor pair_products(const ModuleFactors& left, const ModuleFactors& right, int64_t left_instances,
                         int64_t right_instances) {
  if (left.kind == ModuleKind::norm) {
    return product(instance_sums(left.gradients, left.instance, left_instances),
                   instance_sums(right.gradients, right.instance, right_instances));
  }
  at::Tensor total;
  for (const ModuleFactors* l : uses_of(left)) {
    for (const ModuleFactors* r : uses_of(right)) {
      const at::Tensor tokens = token_products(Outer(*l), Outer(*r));
      const at::Tensor by_left = product(membership(*l, left_instances), tokens.t());
      const at::Tensor pairs = product(by_left, membership(*r, right_instances));
      total = total.defined() ? total + pairs : pairs;
    }
  }
  return total;
}

at::Tensor squared_norms(const ModuleFactors& m, int64_t instances) {
  if (m.kind == ModuleKind::norm) return instance_sums(m.gradients, m.instance, instances).square().sum(1);
  std::vector<at::Tensor> norms(static_cast<size_t>(instances));
  const auto uses = uses_of(m);
  for (size_t l = 0; l < uses.size(); ++l) {
    for (size_t r = l; r < uses.size(); ++r) {
      const Outer left(*uses[l]), right(*uses[r]);
      const auto left_offsets = token_offsets(*uses[l], instances), right_offsets = token_offsets(*uses[r], instances);
      for (size_t i = 0; i < norms.size(); ++i) {
        const Outer a = left.of(left_offsets[i], left_offsets[i + 1] - left_offsets[i]),
                    b = right.of(right_offsets[i], right_offsets[i + 1] - right_offsets[i]);
        const at::Tensor own = token_products(a, b).sum() * (l == r ? 1 : 2);
        norms[i] = norms[i].defined() ? norms[i] + own : own;
      }
    }
  }
  return at::stack(norms);
}

int64_t gradient_width(const ModuleFactors& m) {
  const int64_t output = m.gradients.size(1);
  if (m.kind == ModuleKind::norm) return output;
  return output * (m.kind == ModuleKind::lookup ? m.rows : m.inputs.size(1) + (m.bias ? 1 : 0));
}

std::vector<at::Tensor> dense_gradients(const ModuleFactors& m, int64_t instances) {
  if (m.kind == ModuleKind::norm)
    return {instance_sums(m.gradients, m.instance, instances).to(m.gradients.scalar_type())};
  if (m.kind == ModuleKind::lookup) {
    const int64_t features = m.gradients.size(1);
    at::Tensor tables = m.head ? dense_gradients(*m.head, instances)[0]
                               : at::zeros({instances, m.rows * features}, m.gradients.options());
    tables.view({instances * m.rows, features}).index_add_(0, m.instance * m.rows + m.inputs, m.gradients);
    return {tables};
  }
  const auto offsets = token_offsets(m, instances);
  at::Tensor weights = at::empty({instances, m.gradients.size(1), m.inputs.size(1)}, m.gradients.options());
  std::vector<at::Tensor> biases;
  for (int64_t i = 0; i < instances; ++i) {
    const int64_t begin = offsets[i], tokens = offsets[i + 1] - begin;
    const at::Tensor g = m.gradients.narrow(0, begin, tokens);
    at::Tensor weight = weights[i];
    at::mm_out(weight, g.t(), m.inputs.narrow(0, begin, tokens));
    if (m.bias) biases.push_back(g.sum(0));
  }
  if (m.head) weights.view({instances, -1}).add_(dense_gradients(*m.head, instances)[0]);
  if (!m.bias) return {weights.view({instances, -1})};
  return {weights.view({instances, -1}), at::stack(biases)};
}

void add_vector_products(at::Tensor& total, const at::Tensor& vectors, const ModuleFactors& m, int64_t instances) {
  if (m.kind == ModuleKind::norm) {
    total.add_(
        product(vectors.contiguous(), instance_sums(m.gradients, m.instance, instances).to(vectors.scalar_type())));
    return;
  }
  if (m.head) add_vector_products(total, vectors, *m.head, instances);
  if (m.kind == ModuleKind::lookup) return add_table_products(total, vectors, m);
  const int64_t output = m.gradients.size(1), size = output * m.inputs.size(1);
  add_weight_products(total, vectors.narrow(1, 0, size), m, instances);
  if (m.bias) total.index_add_(1, m.instance, product(vectors.narrow(1, size, output).contiguous(), m.gradients));
}

}  // namespace attribution
