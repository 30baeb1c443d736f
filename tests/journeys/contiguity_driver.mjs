// Runs Contiguity's own JavaScript client as `clients.py` asks; what the package exports can be called, too.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const found = createRequire(`${process.env.CLIENT}/x.js`).resolve("contiguity");
const library = await import(pathToFileURL(found));
const client = new library.Contiguity(process.env.CONTIGUITY_API_KEY);

async function obey({ call, args, list }) {
  const names = call.split(".");
  const start = names[0] in client ? client : library;
  const [owner, deed] = names.reduce(([, at], name) => [at, at[name]], [null, start]);
  if (list) {
    return { ok: Object.getOwnPropertyNames(Object.getPrototypeOf(deed)).filter((name) => name !== "constructor") };
  }
  try {
    return { ok: (await deed.apply(owner, args)) ?? null };
  } catch (error) {
    return { refused: { type: error.name, words: error.message, status: error.status ?? null, data: error.data ?? null } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await obey(JSON.parse(line))) + "\n");
}
