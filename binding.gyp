{
  # For node-gyp and prebuildify. What is compiled, and how, stands in CMakeLists.txt alone.
  "targets": [
    {
      "target_name": "attribution",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake_js",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(PRODUCT_DIR)/attribution.node"],
          "action": ["node", "native/setup/build.mjs", "--to", "<(PRODUCT_DIR)"]
        }
      ]
    }
  ]
}
