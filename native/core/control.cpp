#include "core/control.h"

#include "core/error.h"

namespace attribution {

void Control::check() const {
  if (cancelled_ && cancelled_()) fail(Code::aborted, "The call was aborted");
}

void Control::progress(int64_t done, int64_t total, const std::string& stage) const {
  check();
  if (report_) report_(done, total, stage);
}

}  // namespace attribution
