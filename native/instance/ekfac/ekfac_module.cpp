#include "instance/ekfac/ekfac_module.h"

#include "instance/ekfac/factor_file.h"

namespace attribution {

void end_use(const EkfacModule& m) {
  if (!m.returns_pages) return;
  for (const at::Tensor* t : {&m.input_basis, &m.output_basis, &m.eigenvalues}) release_pages(*t);
}

}  // namespace attribution
