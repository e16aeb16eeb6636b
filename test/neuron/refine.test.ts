// Refined neurons: what more than a share of the phrasings select, minus what other prompts do.
import { refineNeurons } from "../../lib/neuron/refine";
import { neuronsOf } from "../results/sample";
import { refusal } from "../storage/refusal";

const phrasings = neuronsOf(
  [
    [9, 1, 0, 8],
    [9, 7, 0, 1],
    [9, 8, 1, 8],
    [8, 0, 0, 9],
  ],
  2,
);
const select = { fractionOfMaximum: 0.5 };

test("are selected in more than the share, most shared first, with their mean score", async () => {
  const found = await refineNeurons(phrasings, { select });
  expect(found).toEqual([
    { index: 0, layer: 0, unit: 0, site: "neurons", share: 1, score: 8.75 },
    { index: 3, layer: 1, unit: 1, site: "neurons", share: 0.75, score: 6.5 },
  ]); // unit 1 is in half of them, which is not more than half
  expect((await refineNeurons(phrasings, { select, share: 0.4 })).map(({ index }) => index)).toEqual([0, 3, 1]);
  expect((await refineNeurons(phrasings, { select, share: 0.75 })).map(({ index }) => index)).toEqual([0]);
  expect(await refineNeurons(phrasings, { select, share: 1 })).toEqual([]);
});

test("count the rows of several attributions as of one", async () => {
  const [first, rest] = [
    neuronsOf([[9, 1, 0, 8]], 2),
    neuronsOf(
      [
        [9, 7, 0, 1],
        [9, 8, 1, 8],
        [8, 0, 0, 9],
      ],
      2,
    ),
  ];
  expect(await refineNeurons([first, rest], { select })).toEqual(await refineNeurons(phrasings, { select }));
});

test("leave out what negative prompts share by the same rule", async () => {
  const negatives = neuronsOf(
    [
      [9, 0, 0, 0],
      [9, 9, 0, 0],
      [9, 0, 0, 0],
    ],
    2,
  );
  expect((await refineNeurons(phrasings, { select, negatives })).map(({ index }) => index)).toEqual([3]);
  expect(
    (await refineNeurons(phrasings, { select, negatives: neuronsOf([[0, 0, 9, 0]], 2) })).map(({ index }) => index),
  ).toEqual([0, 3]);
});

test("leave out what any fact of a list of negatives shares, each refined by itself", async () => {
  const [one, other] = [
    neuronsOf(
      [
        [9, 0, 0, 0],
        [9, 9, 0, 0],
      ],
      2,
    ),
    neuronsOf([[0, 0, 0, 9]], 2),
  ];
  expect(await refineNeurons(phrasings, { select, negatives: [one, other] })).toEqual([]);
  expect(await refineNeurons(phrasings, { select, share: 0.4, negatives: [one, other] })).toEqual([]); // unit 1 is in half of the first's rows
  const pooled = neuronsOf(
    [
      [9, 0, 0, 0],
      [9, 9, 0, 0],
      [0, 0, 0, 9],
    ],
    2,
  );
  expect((await refineNeurons(phrasings, { select, negatives: pooled })).map(({ index }) => index)).toEqual([3]);
});

test("select of the negatives by a rule of their own", async () => {
  const negatives = neuronsOf([[9, 0, 0, 5]], 2);
  expect(await refineNeurons(phrasings, { select, negatives })).toEqual([]);
  expect(
    (await refineNeurons(phrasings, { select, negatives, negativeSelect: { fractionOfMaximum: 0.6 } })).map(
      ({ index }) => index,
    ),
  ).toEqual([3]);
  expect(
    (await refineNeurons(phrasings, { select, negatives, negativeSelect: { topK: 1 } })).map(({ index }) => index),
  ).toEqual([3]);
});

test("by default select above a fifth of each row's maximum, as Dai et al. do", async () => {
  expect(
    (
      await refineNeurons(
        neuronsOf(
          [
            [10, 2.1, 2, 0],
            [10, 2.1, 9, 0],
          ],
          2,
        ),
      )
    ).map(({ index }) => index),
  ).toEqual([0, 1]);
});

test("refuse other units, none at all, and a share that is none", async () => {
  await expect(refineNeurons([phrasings, neuronsOf([[1, 2]], 2)])).rejects.toEqual(
    expect.objectContaining(refusal("mismatch", /2 × 2 neurons and 2 × 1 neurons/)) as Error,
  );
  await expect(
    refineNeurons(phrasings, { negatives: neuronsOf([[1, 2, 3, 4]], 2, { site: "heads" }) }),
  ).rejects.toMatchObject(refusal("mismatch", /2 × 2 neurons and 2 × 2 heads/));
  await expect(refineNeurons([])).rejects.toEqual(
    expect.objectContaining(refusal("invalid", /"attributions"/)) as Error,
  );
  await expect(refineNeurons(phrasings, { share: 2 })).rejects.toEqual(
    expect.objectContaining(refusal("invalid", /"share"/)) as Error,
  );
  await expect(refineNeurons(phrasings, { negativeSelect: select })).rejects.toEqual(
    expect.objectContaining(refusal("missing", /"negatives"/)) as Error,
  );
  await expect(refineNeurons(phrasings, { negative: phrasings } as never)).rejects.toEqual(
    expect.objectContaining(refusal("unknown", /"negative"/)) as Error,
  );
});
