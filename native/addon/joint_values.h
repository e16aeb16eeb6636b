// Joint attribution's request and result between JavaScript and the core.
#pragma once
#include "addon/job.h"
#include "instance/joint.h"

namespace attribution {

JointRequest joint_request(const Napi::Object& object);
Build joint_result(const Joint& joint);

}  // namespace attribution
