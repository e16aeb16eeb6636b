import js from "@eslint/js";
import tseslint from "typescript-eslint";

const noDefaultExport = {
  selector: "ExportDefaultDeclaration",
  message: "Export by name: one name for one thing, everywhere.",
};
const unsafe = ["argument", "assignment", "call", "member-access", "return"].map(
  (kind) => `@typescript-eslint/no-unsafe-${kind}`,
);
const off = (rules) => Object.fromEntries(rules.map((rule) => [rule, "off"]));

export default tseslint.config(
  {
    ignores: [
      "build/",
      "dist/",
      "prebuilds/",
      ".libtorch/",
      "coverage/",
      "docs/api/",
      "test/golden/",
      "results/",
      "attribution-report/",
    ],
  },
  js.configs.recommended,
  {
    rules: {
      "max-lines": ["error", 350],
      "max-lines-per-function": ["warn", { max: 60, skipBlankLines: true, skipComments: true }],
      "no-restricted-syntax": ["error", noDefaultExport],
      eqeqeq: "error",
      "prefer-const": "error",
    },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/unbound-method": "off", // our objects are records of functions, without `this`
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
    },
  },
  {
    // Tests give wrong types on purpose, and a describe block is not a function to read in one go.
    files: ["test/**/*.ts"],
    rules: {
      ...off(unsafe),
      ...off(["explicit-any", "require-imports"].map((kind) => `@typescript-eslint/no-${kind}`)),
      ...off(["max-lines-per-function", "@typescript-eslint/require-await"]),
      "max-lines": ["error", 500],
    },
  },
  {
    files: ["**/*.mjs", "**/*.cjs"],
    languageOptions: {
      globals: {
        console: "readonly",
        process: "readonly",
        performance: "readonly",
        module: "writable",
        require: "readonly",
      },
    },
  },
  { files: ["eslint.config.mjs"], rules: { "no-restricted-syntax": "off" } },
);
