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

  at::Tensor read(const std::string& name, at::IntArrayRef shape) {
    for (const WeightSource& source : sources) {
      if (source.weight != name) continue;
      auto& file = files[source.file];
      if (!file) file = MappedFile::open(source.file);
      const at::Tensor tensor = read_tensor(file, source, type);
      if (tensor.sizes() != shape)
        fail(Code::corrupt, "The stored factor \"", name, "\" has the shape ", tensor.sizes(), " but its module needs ",
             shape);
      const at::Tensor copy = tensor.to(device, type, false, true);
      file->require_unchanged();
      return copy;
    }
    fail(Code::corrupt, "The stored factors lack \"", name, "\"");
  }
};

}  // namespace

std::vector<EkfacModule> stored_ekfac(const Model& model, const ModuleSelection& modules,
                                      const std::vector<WeightSource>& sources) {
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
  return fitted;
}

}  // namespace attribution
