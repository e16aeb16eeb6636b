// What the killed builder and the test that kills it agree on.
export const killedRows = 400;
export const killedOptions = { rank: 4, rowsPerShard: 150, batchTokens: 256, precision: "int8" } as const;
