#include "addon/joint_values.h"

#include "addon/values.h"

namespace attribution {

JointRequest joint_request(const Napi::Object& p) {
  JointRequest request;
  request.pairs = {integers_of(field(p, "sources"), "sources"), integers_of(field(p, "targets"), "targets")};
  request.kept = integer_field(p, "kept");
  request.only = integer_field(p, "only");
  request.sums_only = boolean_field(p, "sumsOnly");
  return request;
}

Build joint_result(const Joint& joint) {
  return [joint](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result.Set("scores", float64_array(env, joint.scores));
    result.Set("others", float64_array(env, joint.others));
    result.Set("rest", float64_array(env, joint.rest));
    result.Set("indices", int32_array(env, joint.indices));
    result.Set("parts", float64_array(env, joint.parts));
    result.Set("sums", float64_array(env, joint.sums));
    result.Set("restSums", float64_array(env, joint.rest_sums));
    return result;
  };
}

}  // namespace attribution
