#include "model/architecture.h"

#include "core/error.h"

namespace attribution {
namespace {

void within(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high)
    fail(Code::invalid, "Expected architecture.", name, " within ", low, "–", high, " but received ", value);
}

}  // namespace

void validate(const Architecture& a) {
  constexpr int64_t most = 1 << 20;
  within("vocabulary", a.vocabulary, 1, 1 << 24);
  within("hidden", a.hidden, 1, most);
  within("layers", a.layers, 1, 4096);
  within("heads", a.heads, 1, 4096);
  within("keyValueHeads", a.key_value_heads, 1, a.heads);
  within("headSize", a.head_size, 1, most);
  within("intermediate", a.intermediate, 1, most);
  within("positions", a.positions, 1, 1 << 24);
  within("embeddingSize", a.embedding_size, 1, most);
  within("positionOffset", a.position_offset, 0, 1024);
  within("head.labels", a.labels, a.head == HeadKind::classification ? 1 : 0, most);
  if (a.heads % a.key_value_heads != 0)
    fail(Code::invalid, "Expected heads (", a.heads, ") to be a multiple of keyValueHeads (", a.key_value_heads, ")");
  if (a.position == PositionKind::rotary) {
    within("rotarySize", a.rotary_size, 2, a.head_size);
    if (a.rotary_size % 2 != 0)
      fail(Code::invalid, "Expected architecture.rotarySize to be even but received ", a.rotary_size);
  }
  if (a.qkv != QkvLayout::separate && a.key_value_heads != a.heads) {
    fail(Code::unsupported, "A fused query-key-value projection with grouped heads is not supported");
  }
  if (a.norm_epsilon < 0 || a.norm_epsilon > 1)
    fail(Code::invalid, "Expected architecture.normEpsilon within 0–1 but received ", a.norm_epsilon);
}

}  // namespace attribution
