// What the documentation shows compiles: every @example of lib/ and every program in README.md, in strict TypeScript against the
// public functions, and every public function has one.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import ts from "typescript";
import * as attribution from "../../lib";

const root = resolve(__dirname, "../..");

/** The names that examples use without making them. */
const given = `
declare const model: Model, base: Model, tuned: Model;
declare const dataset: Dataset;
declare const train: Instances, queries: Instances, instances: Instances, test: Instances, heldOut: Instances, newRows: Instances, prompts: Instances, phrasings: Instances, others: Instances;
declare const influences: InstanceAttribution, influential: InstanceAttribution, ia: InstanceAttribution, na: NeuronAttribution, queryNeurons: NeuronAttribution, trainNeurons: NeuronAttribution;
declare const store: GradientStore;
declare const truth: readonly number[][], flipped: readonly number[], losses: Float64Array, accuracies: readonly number[], shares: readonly Diversity[];
declare const { title, summary, facts, sections }: Report;
declare const joint: JointAttribution;
declare const curve: NeuronFaithfulness, shorter: NeuronFaithfulness;
declare const queryRelations: readonly Relation[], trainRelations: readonly Relation[];
`;
const names = Object.keys(attribution);
const types = [
  ...new Set([...given.matchAll(/: ([A-Z]\w+)|([A-Z]\w+)\[/g)].map(([, plain, listed]) => plain ?? listed)),
].filter((name) => name !== "Float64Array");
const header = `import { ${[...names, ...types.map((name) => `type ${name}`)].join(", ")} } from "attribution";\nimport { readFile } from "node:fs/promises";\n`;

interface Example {
  readonly from: string;
  readonly name: string;
  readonly code: string;
}

/** The examples of a file's documentation, with what each documents. */
function examplesIn(file: string): Example[] {
  const source = readFileSync(join(root, file), "utf8");
  return [...source.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*export (?:async )?function\*? (\w+)/g)].flatMap(
    ([, comment, name]) => {
      const text = comment.replace(/^\s*\* ?/gm, "");
      return [...text.matchAll(/@example\s+([\s\S]*?)(?=\n@\w|$(?![\s\S]))/g)].map(([, code]) => ({
        from: file,
        name,
        code: code.trim(),
      }));
    },
  );
}

function programsIn(file: string): Example[] {
  return [...readFileSync(join(root, file), "utf8").matchAll(/```(?:ts|js)\n([\s\S]*?)```/g)].map(([, code], at) => ({
    from: file,
    name: `program ${at + 1}`,
    code,
  }));
}

const sources = readdirSync(join(root, "lib"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !/^(cli|study)\//.test(name))
  .map((name) => `lib/${name}`);
const examples = sources.flatMap(examplesIn);

/** A program with imports of its own stands as it is; another goes on from the names given. */
function fileOf({ code }: Example): string {
  const imports = [...code.matchAll(/^import .*$/gm)].map(([line]) => line).join("\n");
  return `${imports === "" ? header + given : imports}\nexport const example = async (): Promise<void> => {\n${code.replace(/^import .*$/gm, "")}\n};\n`;
}

/** What the compiler says of each. */
function complaints(checked: readonly Example[]): string[] {
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2022.d.ts", "lib.esnext.disposable.d.ts"],
    module: ts.ModuleKind.Node18,
    types: ["node"],
    paths: { attribution: [join(root, "lib/index.ts")] },
  };
  const files = new Map(
    checked.map((example, at) => [join(root, "test", `example-${at}.ts`), { example, text: fileOf(example) }]),
  );
  const host = ts.createCompilerHost(options);
  const [readFile, fileExists] = [host.readFile.bind(host), host.fileExists.bind(host)];
  host.readFile = (name) => files.get(name)?.text ?? readFile(name);
  host.fileExists = (name) => files.has(name) || fileExists(name);
  const program = ts.createProgram([...files.keys()], options, host);
  return [...files].flatMap(([name, { example }]) => {
    const file = program.getSourceFile(name);
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ messageText }) => `${example.from}, ${example.name}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
    );
  });
}

test("every public function has an example", () => {
  const shown = new Set(examples.map(({ name }) => name));
  expect(names.filter((name) => /^[a-z]/.test(name) && !shown.has(name))).toEqual([]);
});

const guides = readdirSync(join(root, "docs"))
  .filter((name) => name.endsWith(".md"))
  .map((name) => `docs/${name}`);

test("every link between the pages leads somewhere", () => {
  const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "benchmarks/README.md", ...guides];
  const links = pages.flatMap((page) =>
    [...readFileSync(join(root, page), "utf8").matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => ({ page, link })),
  );
  expect(links.length).toBeGreaterThan(5);
  const leadsNowhere = links.filter(({ page, link }) => {
    const [path = "", anchor] = link.split("#");
    if (/^[a-z]+:/.test(link)) return false;
    const target = path === "" ? join(root, page) : resolve(root, dirname(page), path);
    if (!existsSync(target)) return true;
    const titles = () => [...readFileSync(target, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) => title);
    const anchors = () =>
      titles().map((title) =>
        title
          .toLowerCase()
          .replace(/[^\w\s-]/g, "")
          .replace(/\s/g, "-"),
      );
    return anchor !== undefined && !anchors().includes(anchor);
  });
  expect(leadsNowhere).toEqual([]);
});

test("every example and every program of README.md and the guides compiles, and a wrong one does not", () => {
  const wrong = { from: "here", name: "wrong", code: "await bm25(train, queries, { k2: 1 });" };
  expect(complaints([...examples, ...["README.md", ...guides].flatMap(programsIn), wrong])).toEqual([
    expect.stringMatching(/^here, wrong: .*'k2'/),
  ]);
});
