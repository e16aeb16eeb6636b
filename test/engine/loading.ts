// Run by loading.test.ts in a process of its own, where nothing has loaded the addon yet: prints how a first call went.
import { createModel } from "../../lib/model/create-model";
import { native } from "../../lib/native";
import { longestGap } from "../data/event-loop";
import { midSizeConfig } from "./mid-size";

const tiny = { ...midSizeConfig, vocab_size: 50, hidden_size: 32, intermediate_size: 16, num_hidden_layers: 1 };

async function main(): Promise<void> {
  const held = await longestGap(async () => (await createModel(tiny)).close());
  const { threads } = native().versions();
  console.log(JSON.stringify({ held, threads, spins: process.env["GOMP_SPINCOUNT"] ?? null }));
}

void main();
