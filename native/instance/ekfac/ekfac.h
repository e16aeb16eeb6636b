// EK-FAC (George et al. 2018; Grosse et al. 2023): per module the Gauss-Newton matrix as a Kronecker product of input
// and output covariances, with eigenvalues corrected to those of the gradients in its eigenbasis. Labels are sampled
// from the model (the true Fisher) or gold.
#pragma once
#include "core/control.h"
#include "instance/ekfac/ekfac_module.h"
#include "instance/gradients/factors.h"
#include "instance/influence/options.h"

namespace attribution {

/// Bytes of the factors of all modules, of the largest one, and of the largest eigendecomposition.
struct EkfacBytes {
  int64_t total = 0, module = 0, eigen = 0;
};
EkfacBytes ekfac_bytes(const Model& model, const ModuleSelection& modules);

/// Two passes over the training set: covariances, and the corrected eigenvalues. Both see the same labels. Factors
/// beyond `options.factor_bytes` live in a file and are resident while their module is at work. A `path` is a
/// safetensors file that is made of them: "<module>.inputBasis", "<module>.outputBasis", "<module>.eigenvalues".
std::vector<EkfacModule> fit_ekfac(const Model& model, const Instances& train, const ModuleSelection& modules,
                                   const InfluenceOptions& options, const Control& control,
                                   const std::string& path = "");

/// Q_S [(Q_Sᵀ G Q_A) / (Λ + λ)] Q_Aᵀ of each instance's gradient, [instance, parameter]; λ = damping · mean Λ of the
/// module.
at::Tensor ekfac_inverse(const std::vector<EkfacModule>& modules, const Factors& factors, double damping);
/// Σ (Q_Sᵀ G Q_A)² / (Λ + λ) of each instance: its gradient's product with what ekfac_inverse makes of it, [instance].
at::Tensor ekfac_self(const std::vector<EkfacModule>& modules, const Factors& factors, double damping);

}  // namespace attribution
