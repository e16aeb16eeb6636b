// GGUF's quantised blocks: sizes and dequantisation to float (ggml's formats, little endian).
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace attribution {

struct BlockType {
  int64_t values;  // in a block
  int64_t bytes;   // of a block
  void (*dequantise)(const uint8_t* block, float* values);
};

/// The block type of that name, or none where the name is no block type.
std::optional<BlockType> block_type(const std::string& name);

}  // namespace attribution
