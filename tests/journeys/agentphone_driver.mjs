// Runs AgentPhone's own TypeScript client as `clients.py` asks: `args` are the request of a call.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { AgentPhoneClient } = createRequire(`${process.env.CLIENT}/x.js`)("agentphone");
const client = new AgentPhoneClient({ token: process.env.AGENTPHONE_API_KEY, baseUrl: process.env.ORIGIN });

async function obey({ call, args, list }) {
  const [owner, deed] = call.split(".").reduce(([, at], name) => [at, at[name]], [null, client]);
  if (list) {
    const names = Object.getOwnPropertyNames(Object.getPrototypeOf(deed));
    // The client's own privates begin with two underscores.
    return { ok: names.filter((name) => name !== "constructor" && !name.startsWith("_")) };
  }
  try {
    return { ok: (await deed.apply(owner, args)) ?? null };
  } catch (error) {
    const { message, statusCode = null, body = null } = error;
    return { refused: { type: error.constructor.name, words: message, status: statusCode, body } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await obey(JSON.parse(line))) + "\n");
}
