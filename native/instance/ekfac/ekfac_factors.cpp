#include "instance/ekfac/ekfac_factors.h"

#include <map>

#include "core/error.h"

namespace attribution {
namespace {

struct Reader {
  const std::vector<WeightSource>& sources;
  at::ScalarType type;
  at::Device device;
  std::map<std::string, std::shared_ptr<MappedFile>> files;
  bool all_views = true;  // no tensor was copied out of its file

  at::Tensor read(const std::string& name, at::IntArrayRef shape) {
    for (const WeightSource& source : sources) {
      if (source.weight != name) continue;
      auto& file = files[source.file];
      if (!file) file = MappedFile::open(source.file);
      const at::Tensor tensor = read_tensor(file, source, type);
      if (tensor.sizes() != shape)
        fail(Code::corrupt, "The stored factor \"", name, "\" has the shape ", tensor.sizes(), " but its module needs ",
             shape);
      const at::Tensor local = tensor.to(device);
      all_views = all_views && local.const_data_ptr() == file->bytes(source.offset, source.bytes);
      file->require_unchanged();
      return local;
    }
    fail(Code::corrupt, "The stored factors lack \"", name, "\"");
  }
};

}  // namespace

std::vector<EkfacModule> stored_ekfac(const Model& model, const ModuleSelection& modules,
                                      const std::vector<WeightSource>& sources, int64_t resident_bytes) {
  require_linear(model.architecture, modules, "EK-FAC");
  Reader reader{sources, model.dtype == at::kDouble ? at::kDouble : at::kFloat, model.device, {}};
  std::vector<EkfacModule> fitted;
  for (size_t i = 0; i < modules.size(); ++i) {
    const ModuleId id = modules.id(i);
    const Parameters& linear = parameters_of(model, id);
    const int64_t output = linear.matrix().size(0), columns = linear.matrix().size(1) + (linear.bias.defined() ? 1 : 0);
    const std::string name = module_name(model.architecture, id);
    fitted.push_back({reader.read(name + ".inputBasis", {columns, columns}),
                      reader.read(name + ".outputBasis", {output, output}),
                      reader.read(name + ".eigenvalues", {output, columns}), linear.bias.defined()});
  }
  int64_t bytes = 0;
  for (EkfacModule& m : fitted) {
    bytes += static_cast<int64_t>(m.input_basis.nbytes() + m.output_basis.nbytes() + m.eigenvalues.nbytes());
    m.returns_pages = reader.all_views && bytes > resident_bytes;
  }
  return fitted;
}

}  // namespace attribution
