#include "model/checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <sstream>

#include "core/own_file.h"
#include "model/weight_reader.h"

namespace attribution {
namespace {

void draw(const Architecture& a, const WeightSlot& slot, const at::TensorOptions& options, double deviation,
          at::Generator& generator) {
  const bool weight = slot.name.ends_with(".weight"), norm = kind_of(slot.module.module) == ModuleKind::norm;
  at::Tensor value = at::empty(slot.shape, options.device(at::kCPU).dtype(at::kFloat));
  if (norm) {
    value.fill_(weight && slot.module.module != Module::output_bias && a.norm_weight == NormWeight::factor ? 1 : 0);
  } else if (weight) {
    value.normal_(0, deviation, generator);
  } else {
    value.zero_();
  }
  *slot.tensor = value.to(options);
}

Model empty_model(const Architecture& architecture, at::ScalarType dtype, at::Device device) {
  validate(architecture);
  Model model;
  model.architecture = architecture;
  model.weights = Weights(architecture);
  model.dtype = dtype;
  model.device = device;
  return model;
}

/// A fast 64-bit hash of bytes, eight at a time (multiply and rotate; not cryptographic).
uint64_t mix(uint64_t hash, const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  auto step = [&hash](uint64_t word) {
    hash ^= word * 0x9E3779B97F4A7C15ULL;
    hash = ((hash << 31) | (hash >> 33)) * 0xBF58476D1CE4E5B9ULL;
  };
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + i, 8);
    step(word);
  }
  uint64_t rest = size;
  for (; i < size; ++i) rest = rest << 8 | bytes[i];
  step(rest);
  return hash;
}

/// The fields that an architecture may have besides those of `mix_architecture`, each with its name where it is not the
/// plain one, so that a new field leaves the hashes of the models without it as they are.
std::string special_fields(const Architecture& a) {
  std::ostringstream out;
  out.precision(17);
  const auto field = [&out](const char* name, auto value, auto plain) {
    if (value != plain) out << name << '=' << value << ';';
  };
  field("embeddingScale", a.embedding_scale, 1.0);
  field("residualScale", a.residual_scale, 1.0);
  field("normWeight", static_cast<int>(a.norm_weight), 0);
  field("attentionCap", a.attention_cap, 0.0);
  field("sharedNorm", a.shared_norm, false);
  field("queryKeyNorm", static_cast<int>(a.query_key_norm) > 1, false);
  field("queryKeyValueClip", a.qkv_clip, 0.0);
  field("logitScale", a.logit_scale, 1.0);
  field("logitCap", a.logit_cap, 0.0);
  field("causal", a.causal, true);
  field("readout", static_cast<int>(a.readout), 0);
  field("tokenTypes", a.token_types, int64_t{0});
  field("firstAttentionNorm", a.first_attention_norm, true);
  if (a.head_transform)
    out << "headTransform=" << static_cast<int>(a.head_transform->activation) << ',' << a.head_transform->norm << ';';
  for (size_t i = 0; i < a.rotary.size(); ++i) {
    const Rotary& r = a.rotary[i];
    if (i > 0) out << "rotary=" << r.size << ',' << r.base << ';';
    field("interleaved", r.interleaved, false);
    field("rotaryScale", r.scale, 1.0);
    for (const double factor : r.factors) out << factor << ',';
    if (r.longest == 0) continue;
    out << "longest=" << r.longest << ',' << r.long_scale << ',' << r.growth << ';';
    for (const double factor : r.long_factors) out << factor << ',';
  }
  const Mixture& m = a.mixture;
  if (a.is_mixture()) {
    out << "experts=" << m.chosen << ',' << m.renormalised << ';';
    for (const bool layer : m.layers) out << layer;
  }
  const std::vector<LayerAttention> plain = plain_attention(a);
  for (size_t i = 0; i < plain.size(); ++i) {
    field("window", a.attention[i].window, plain[i].window);
    field("divisor", a.attention[i].divisor, plain[i].divisor);
    field("rotaryOf", a.attention[i].rotary, plain[i].rotary);
    if (a.attention[i].window != 0 || a.attention[i].divisor != plain[i].divisor ||
        a.attention[i].rotary != plain[i].rotary)
      out << "layer=" << i << ';';
  }
  for (const Adapter& adapter : a.adapters) out << adapter.module << '=' << adapter.rank << ',' << adapter.scale << ';';
  return out.str();
}

uint64_t mix_architecture(uint64_t hash, const Architecture& a) {
  const Rotary first = a.rotary.empty() ? Rotary{0, 0} : a.rotary.front();
  const int64_t numbers[] = {a.heads,
                             a.key_value_heads,
                             a.head_size,
                             a.positions,
                             static_cast<int64_t>(a.norm),
                             a.norm_order == NormOrder::post,
                             first.size,
                             a.parallel_residual,
                             static_cast<int64_t>(a.activation),
                             static_cast<int64_t>(a.qkv),
                             static_cast<int64_t>(a.head)};
  const double reals[] = {a.norm_epsilon, first.base};
  hash = mix(mix(hash, numbers, sizeof numbers), reals, sizeof reals);
  const std::string special = special_fields(a);
  return special.empty() ? hash : mix(hash, special.data(), special.size());
}

}  // namespace

at::Device device_named(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  if (name != "cuda")
    fail(Code::invalid, "Expected \"device\" to be one of \"cpu\", \"cuda\" but received \"", name, "\"");
  if (!at::hasCUDA())
    fail(Code::unsupported,
         "This libtorch has no CUDA, or the machine has no device: use device \"cpu\", or point LIBTORCH to a CUDA "
         "build and run "
         "npm rebuild");
  return at::Device(at::kCUDA, 0);
}

Model open_model(const Architecture& architecture, const std::vector<WeightSource>& sources, at::ScalarType dtype,
                 at::Device device, int64_t new_head_seed, double new_head_deviation, const Control& control) {
  Model model = empty_model(architecture, dtype, device);
  std::map<std::string, const WeightSource*> by_weight;
  for (const WeightSource& source : sources) by_weight[source.weight] = &source;
  WeightReader reader;
  at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(std::max<int64_t>(0, new_head_seed)));
  const auto slots = weight_slots(model);
  int64_t done = 0;
  for (const WeightSlot& slot : slots) {
    control.progress(done++, static_cast<int64_t>(slots.size()), "loading weights");
    const auto found = by_weight.find(slot.name);
    if (found == by_weight.end()) {
      if (!is_head(slot.module.module) || new_head_seed < 0)
        fail(Code::missing, "The checkpoint has no tensor for weight \"", slot.name, "\"");
      draw(architecture, slot, model.options(), new_head_deviation, generator);
      continue;
    }
    *slot.tensor = reader.read(*found->second, slot, dtype).to(device);
  }
  model.files = reader.files();
  return model;
}

Model create_model(const Architecture& architecture, at::ScalarType dtype, at::Device device, int64_t seed,
                   double deviation, const Control& control) {
  Model model = empty_model(architecture, dtype, device);
  at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  for (const WeightSlot& slot : weight_slots(model)) {
    control.check();
    draw(architecture, slot, model.options(), deviation, generator);
  }
  return model;
}

Model copy_model(const Model& model) {
  Model copy = model;
  for (const WeightSlot& slot : weight_slots(copy)) *slot.tensor = slot.tensor->detach().clone();
  copy.files.clear();
  return copy;
}

void write_weights(const Model& model, const std::string& file, const std::vector<uint8_t>& header,
                   const std::vector<std::string>& names, at::ScalarType dtype, const Control& control) {
  std::map<std::string, at::Tensor> tensors;
  for (const NamedWeight& weight : named_weights(model)) tensors[weight.name] = weight.tensor;
  const int descriptor = open_own_file(file, O_WRONLY | O_CREAT | O_TRUNC);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(::fdopen(descriptor, "wb"), std::fclose);
  if (!out) fail_writing(file);
  auto write = [&](const void* data, size_t size) {
    if (size > 0 && std::fwrite(data, 1, size, out.get()) != size) fail_writing(file);
  };
  write(header.data(), header.size());
  int64_t done = 0;
  for (const std::string& name : names) {
    control.progress(done++, static_cast<int64_t>(names.size()), "writing weights");
    const auto found = tensors.find(name);
    if (found == tensors.end()) fail(Code::unknown, "The model has no weight \"", name, "\"");
    const at::Tensor tensor = found->second.to(at::kCPU).to(dtype).contiguous();
    write(tensor.const_data_ptr(), tensor.nbytes());
  }
  if (std::fflush(out.get()) != 0 || ::fsync(::fileno(out.get())) != 0) fail_writing(file);
}

Model resize_embedding(const Model& model, int64_t rows) {
  if (rows < 1 || rows > (1 << 24)) fail(Code::invalid, "Expected \"rows\" within 1–16777216 but received ", rows);
  Model resized = model;
  auto resize = [rows](const at::Tensor& table) {
    if (rows <= table.size(0)) return table.narrow(0, 0, rows).clone();
    return at::cat({table, table.mean(0, true).expand({rows - table.size(0), table.size(1)})});
  };
  at::Tensor& table = resized.weights[{Module::token_embedding, -1}].weight;
  table = resize(table);
  if (model.architecture.predicts_tokens() && !model.architecture.tied_output) {
    Linear& output = resized.weights[{Module::head, -1}];
    output.weight = resize(output.weight);
    if (output.bias.defined()) output.bias = resize(output.bias.unsqueeze(1)).squeeze(1);
  }
  if (model.architecture.has_tied_bias()) {
    at::Tensor& bias = resized.weights[{Module::output_bias, -1}].weight;
    bias = resize(bias.unsqueeze(1)).squeeze(1);
  }
  resized.architecture.vocabulary = rows;
  return resized;
}

void require_unchanged_files(const Model& model) {
  for (const auto& weak : model.files) {
    if (const auto file = weak.lock()) file->require_unchanged();
  }
}

std::string fingerprint(const Model& model) {
  uint64_t hash = mix_architecture(0x243F6A8885A308D3ULL, model.architecture);
  for (const NamedWeight& weight : named_weights(model)) {
    hash = mix(hash, weight.name.data(), weight.name.size());
    const at::Tensor tensor = weight.tensor.to(at::kCPU).contiguous();
    hash = mix(hash, tensor.const_data_ptr(), tensor.nbytes());
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

int64_t parameter_count(const Model& model) {
  int64_t total = 0;
  for (const NamedWeight& weight : named_weights(model)) total += weight.tensor.numel();
  return total;
}

}  // namespace attribution
