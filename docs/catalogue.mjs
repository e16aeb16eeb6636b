// The catalogue of public functions and their options, read from the doc comments: what `attribution methods` prints and what the
// command line makes its flags from. Writes lib/cli/catalogue.json and, where there is a build, its copy in dist/.
//
//   node docs/catalogue.mjs [--print]
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const labels = ["Positive", "Unit", "Source", "Sources and formulas", "Cost"];

const files = readdirSync(join(root, "lib"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !/^(cli|study)\b/.test(name))
  .map((name) => join(root, "lib", name));
const types = readdirSync(join(root, "types")).map((name) => join(root, "types", name));
const parsed = new Map(
  [...files, ...types].map((file) => [
    file,
    ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2022, true),
  ]),
);

/** Every interface and type alias of lib/, by name. */
const interfaces = new Map();
const aliases = new Map();
for (const source of parsed.values()) {
  source.forEachChild((node) => {
    if (ts.isInterfaceDeclaration(node)) interfaces.set(node.name.text, node);
    if (ts.isTypeAliasDeclaration(node)) aliases.set(node.name.text, node);
  });
}

/** Public functions with the file each is in, in the order of lib/index.ts. */
function publicFunctions() {
  const index = parsed.get(join(root, "lib/index.ts"));
  const found = [];
  index.forEachChild((node) => {
    if (!ts.isExportDeclaration(node) || !node.exportClause || !ts.isNamedExports(node.exportClause)) return;
    const path = node.moduleSpecifier.text;
    const file = [`${path}.ts`, `${path}/index.ts`]
      .map((end) => resolve(root, "lib", end))
      .find((end) => parsed.has(end));
    for (const { name, isTypeOnly, propertyName } of node.exportClause.elements)
      if (!node.isTypeOnly && !isTypeOnly && file !== undefined)
        found.push([(propertyName ?? name).text, name.text, file]);
  });
  return found.flatMap(([inner, name, file]) => {
    const declarations = [];
    parsed.get(file).forEachChild((node) => {
      if (ts.isFunctionDeclaration(node) && node.name?.text === inner) declarations.push(node);
    });
    return declarations.length === 0 ? [] : [{ name, file, declarations }];
  });
}

/** The text of a doc comment, its tags apart; undefined without one. */
function docOf(node) {
  const doc = ts.getJSDocCommentsAndTags(node).find(ts.isJSDoc);
  if (doc === undefined) return undefined;
  const flat = (comment) => (ts.getTextOfJSDocComment(comment) ?? "").replace(/\s+/g, " ").trim();
  const tag = (name) => doc.tags?.find(({ tagName }) => tagName.text === name);
  return { text: flat(doc.comment), tag: (name) => (tag(name) ? flat(tag(name).comment) : undefined), raw: tag };
}

/** "… Unit: nats. Source: X. Cost: one pass." in its parts; `meaning` is what stands before the first label. */
function partsOf(text) {
  const at = [...text.matchAll(new RegExp(`(?:^|(?<=[.;)] ))(${labels.join("|")}): `, "g"))];
  const parts = { meaning: text.slice(0, at[0]?.index ?? text.length).trim() };
  at.forEach((match, i) => {
    const end = at[i + 1]?.index ?? text.length;
    const key = match[1] === "Positive" ? "sign" : match[1].startsWith("Source") ? "source" : match[1].toLowerCase();
    parts[key] ??= text.slice(match.index + match[0].length, end).trim();
  });
  return parts;
}

/** The literal values of a type, where it is a union of strings. */
function choicesOf(type) {
  if (ts.isTypeReferenceNode(type) && aliases.has(type.typeName.getText()))
    return choicesOf(aliases.get(type.typeName.getText()).type);
  const members = ts.isUnionTypeNode(type) ? type.types : [type];
  const texts = members.map((member) =>
    ts.isLiteralTypeNode(member) && ts.isStringLiteral(member.literal) ? member.literal.text : undefined,
  );
  return texts.every((text) => text !== undefined) ? texts : undefined;
}

/** How a value is written on a command line; undefined where it cannot be. */
function kindOf(type) {
  const text = type.getText().replace(/\s+/g, " ");
  if (/AbortSignal|=>|Instances|Evaluation|\bModel\b/.test(text)) return undefined;
  if (choicesOf(type)) return "choice";
  if (text === "number") return "number";
  if (text === "boolean") return "boolean";
  if (text === "string" || text === "string | null" || text === "number | string") return "text";
  if (/^(readonly )?(number\[\]|ArrayLike<number>|\[number, number\])$/.test(text)) return "numbers";
  if (/^(readonly )?string\[\]$/.test(text)) return "texts";
  return "json";
}

/** Fields of an options interface with those that it extends, nearest first. */
function fieldsOf(name, seen = new Set()) {
  if (seen.has(name)) return [];
  seen.add(name);
  const node = interfaces.get(name);
  if (node === undefined) return aliases.has(name) ? fieldsOfType(aliases.get(name).type, seen) : [];
  const own = node.members.filter(ts.isPropertySignature).map(fieldOf).filter(Boolean);
  const inherited = (node.heritageClauses ?? []).flatMap(({ types }) =>
    types.flatMap((type) => withoutOmitted(type.expression.getText(), type.typeArguments ?? [], seen)),
  );
  return [...own, ...inherited.filter(({ name: field }) => !own.some((each) => each.name === field))];
}

function withoutOmitted(expression, args, seen) {
  const names = args[1] ? [...args[1].getText().matchAll(/"(\w+)"/g)].map(([, field]) => field) : [];
  if (expression === "Omit") return fieldsOf(args[0].getText(), seen).filter(({ name }) => !names.includes(name));
  if (expression === "Pick") return fieldsOf(args[0].getText(), seen).filter(({ name }) => names.includes(name));
  return fieldsOf(expression, seen);
}

function fieldsOfType(type, seen) {
  if (ts.isIntersectionTypeNode(type)) return type.types.flatMap((each) => fieldsOfType(each, seen));
  if (ts.isTypeReferenceNode(type)) return withoutOmitted(type.typeName.getText(), type.typeArguments ?? [], seen);
  return [];
}

function fieldOf(member) {
  const kind = member.type === undefined ? undefined : kindOf(member.type);
  if (kind === undefined) return undefined;
  const doc = docOf(member);
  const text = member.type.getText().replace(/\s+/g, " ");
  const fallback = doc?.tag("default");
  return {
    name: member.name.getText(),
    kind,
    type: text,
    ...(kind === "choice" ? { choices: choicesOf(member.type) } : {}),
    text: doc?.text ?? "",
    ...(fallback === undefined ? {} : { default: fallback }),
  };
}

/** The options interface of a function: the type of its parameter `options` or `given`. */
function optionsOf(declarations) {
  for (const { parameters } of declarations) {
    const last = parameters.find(({ name }) => ["options", "given"].includes(name.getText()));
    if (last?.type !== undefined)
      return fieldsOfType(last.type.kind === ts.SyntaxKind.IntersectionType ? last.type : last.type, new Set());
  }
  return [];
}

export function catalogue() {
  return publicFunctions().map(({ name, file, declarations }) => {
    const documented = declarations.map(docOf).filter(Boolean);
    const doc = documented[0];
    return {
      name,
      room: relative(join(root, "lib"), file).split("/")[0],
      file: relative(root, file),
      ...partsOf(doc?.text ?? ""),
      ...(doc?.tag("returns") === undefined ? {} : { returns: doc.tag("returns") }),
      ...(doc?.tag("example") === undefined ? {} : { example: doc.tag("example") }),
      options: optionsOf(declarations),
    };
  });
}

const text = `${JSON.stringify(catalogue(), null, 1)}\n`;
if (process.argv.includes("--print")) process.stdout.write(text);
else {
  const targets = [join(root, "lib/cli"), ...(existsSync(join(root, "dist/lib")) ? [join(root, "dist/lib/cli")] : [])];
  for (const folder of targets) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "catalogue.json"), text);
  }
}
