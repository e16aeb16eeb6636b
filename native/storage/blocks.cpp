#include "storage/blocks.h"

#include <c10/util/Half.h>

#include <cstring>
#include <map>

namespace attribution {
namespace {

float half_at(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return static_cast<float>(c10::Half(bits, c10::Half::from_bits()));
}

void q8_0(const uint8_t* b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 32; ++i) y[i] = d * static_cast<int8_t>(b[2 + i]);
}

void q4_0(const uint8_t* b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * ((b[2 + i] & 15) - 8);
    y[i + 16] = d * ((b[2 + i] >> 4) - 8);
  }
}

void q4_1(const uint8_t* b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * (b[4 + i] & 15) + m;
    y[i + 16] = d * (b[4 + i] >> 4) + m;
  }
}

/// The fifth bits of a Q5 block, one per value.
uint32_t fifth_bits(const uint8_t* p) {
  uint32_t bits;
  std::memcpy(&bits, p, 4);
  return bits;
}

void q5_0(const uint8_t* b, float* y) {
  const float d = half_at(b);
  const uint32_t high = fifth_bits(b + 2);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * (static_cast<int>((b[6 + i] & 15) | ((high >> i & 1) << 4)) - 16);
    y[i + 16] = d * (static_cast<int>((b[6 + i] >> 4) | ((high >> (i + 16) & 1) << 4)) - 16);
  }
}

void q5_1(const uint8_t* b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  const uint32_t high = fifth_bits(b + 4);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * ((b[8 + i] & 15) | ((high >> i & 1) << 4)) + m;
    y[i + 16] = d * ((b[8 + i] >> 4) | ((high >> (i + 16) & 1) << 4)) + m;
  }
}

/// The j-th of eight 6-bit (scale, minimum) pairs packed in twelve bytes.
void scale_and_minimum(int j, const uint8_t* q, int& scale, int& minimum) {
  if (j < 4) {
    scale = q[j] & 63;
    minimum = q[j + 4] & 63;
  } else {
    scale = (q[j + 4] & 15) | ((q[j - 4] >> 6) << 4);
    minimum = (q[j + 4] >> 4) | ((q[j] >> 6) << 4);
  }
}

// 256 values: d, dmin (half), 12 bytes of scales, [Q5: 32 bytes of fifth bits,] 128 bytes of nibbles.
void q45_k(const uint8_t* b, float* y, bool five) {
  const float d = half_at(b), dmin = half_at(b + 2);
  const uint8_t* scales = b + 4;
  const uint8_t* high = b + 16;
  const uint8_t* low = b + 16 + (five ? 32 : 0);
  for (int group = 0; group < 8; ++group) {
    int scale, minimum;
    scale_and_minimum(group, scales, scale, minimum);
    const uint8_t* q = low + 32 * (group / 2);
    for (int i = 0; i < 32; ++i) {
      int value = group % 2 ? q[i] >> 4 : q[i] & 15;
      if (five) value |= (high[i] >> group & 1) << 4;
      y[32 * group + i] = d * scale * value - dmin * minimum;
    }
  }
}

void q4_k(const uint8_t* b, float* y) { q45_k(b, y, false); }
void q5_k(const uint8_t* b, float* y) { q45_k(b, y, true); }

// 256 values: 128 bytes of low nibbles, 64 bytes of high pairs, 16 int8 scales, d (half).
void q6_k(const uint8_t* b, float* y) {
  const float d = half_at(b + 208);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = b + 64 * half;
    const uint8_t* high = b + 128 + 32 * half;
    const auto* scales = reinterpret_cast<const int8_t*>(b + 192 + 8 * half);
    for (int i = 0; i < 32; ++i) {
      const int nibbles[4] = {low[i] & 15, low[i + 32] & 15, low[i] >> 4, low[i + 32] >> 4};
      for (int k = 0; k < 4; ++k) {
        const int value = (nibbles[k] | ((high[i] >> (2 * k) & 3) << 4)) - 32;
        y[128 * half + 32 * k + i] = d * scales[2 * k + i / 16] * value;
      }
    }
  }
}

}  // namespace

std::optional<BlockType> block_type(const std::string& name) {
  static const std::map<std::string, BlockType> types = {
      {"Q8_0", {32, 34, q8_0}}, {"Q4_0", {32, 18, q4_0}},   {"Q4_1", {32, 20, q4_1}},   {"Q5_0", {32, 22, q5_0}},
      {"Q5_1", {32, 24, q5_1}}, {"Q4_K", {256, 144, q4_k}}, {"Q5_K", {256, 176, q5_k}}, {"Q6_K", {256, 210, q6_k}},
  };
  const auto found = types.find(name);
  if (found == types.end()) return std::nullopt;
  return found->second;
}

}  // namespace attribution
