"""Writes fine-tuning/: what 20 steps of PyTorch's AdamW do to three tiny models, for the LM, classification and listwise loss.

    python test/golden/fine-tuning.py

Batches of 2 instances in the given order, 2 batches a step, 16 instances: 4 steps an epoch, 5 epochs. The loss of a step is the mean
over its 4 instances; an LM instance's loss is the mean over its target tokens. No dropout.
"""

import os

import numpy
import torch
import transformers

from families import HERE, draw_rows, one, open_case, ragged, seed_of, write

STEPS, WARMUP, BATCH, ACCUMULATION, INSTANCES = 20, 5, 2, 2, 16
# fp32 and fp64 runs must agree better than the tests ask of us, else the fixture would test rounding.
STABILITY = 2e-5


def lengths(name, count):
    return numpy.random.default_rng(seed_of("lengths of " + name)).integers(4, 14, size=count).tolist()


def lm(model, rows, labels):
    logits = model(one(rows[0])).logits[0]
    return torch.nn.functional.cross_entropy(logits[:-1], one(rows[0])[0, 1:]), logits


def classification(model, rows, label):
    logits = model(one(rows[0])).logits
    return torch.nn.functional.cross_entropy(logits, torch.tensor([label])), logits


def choice(model, rows, label):
    logits = torch.cat([model(one(row)).logits[0] for row in rows])
    # Adam turns the rounding in the gradient of what the softmax cancels (a shift of all logits) into steps: compare probabilities.
    return torch.nn.functional.cross_entropy(logits[None], torch.tensor([label])), logits.log_softmax(0)


def run(case, loss_of, groups, labels, clip, dtype):
    model = open_case(case, dtype)  # in evaluation mode throughout: no dropout
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    losses, rates, norms = [], [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        start = step * BATCH * ACCUMULATION % INSTANCES
        total = 0.0
        for batch in range(ACCUMULATION):
            indices = range(start + batch * BATCH, start + (batch + 1) * BATCH)
            loss = torch.stack([loss_of(model, groups[index], labels[index])[0] for index in indices]).mean() / ACCUMULATION
            loss.backward()
            total += loss.item()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), clip).item())
        rates.append(optimizer.param_groups[0]["lr"])
        losses.append(total)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        final = [loss_of(model, group, label) for group, label in zip(groups, labels)]
    return {
        "losses": torch.tensor(losses, dtype=torch.float64),
        "learningRates": torch.tensor(rates, dtype=torch.float64),
        "gradientNorms": torch.tensor(norms, dtype=torch.float64),
        "final": torch.cat([logits for _, logits in final]).float(),
        "finalLosses": torch.stack([loss for loss, _ in final]).double(),
    }


def make(name, case, loss_of, rows_of, labels_of, clip=1.0):
    counts = [rows_of(index) for index in range(INSTANCES)]
    rows = draw_rows("fine-tuning " + name, lengths(name, sum(counts)))
    offsets = numpy.cumsum([0] + counts)
    groups = [rows[start:end] for start, end in zip(offsets, offsets[1:])]
    labels = labels_of(counts)
    single = run(case, loss_of, groups, labels, clip, torch.float32)
    double = run(case, loss_of, groups, labels, clip, torch.float64)
    apart = ((single["losses"] - double["losses"]).abs() / double["losses"]).max().item()
    final_apart = ((single["final"] - double["final"]).abs().max() / double["final"].abs().max()).item()
    assert max(apart, final_apart) < STABILITY, (apart, final_apart)
    single["finalLogProbabilities" if loss_of is choice else "finalLogits"] = single.pop("final")
    write(os.path.join(HERE, "fine-tuning", name + ".safetensors"), {
        **ragged(rows),
        "groupOffsets": torch.tensor(offsets, dtype=torch.int32),
        "labels": torch.tensor(labels, dtype=torch.int32),
        **single,
    })
    print(f"{name}: losses {single['losses'][0]:.4f} … {single['losses'][-1]:.4f}, norms {single['gradientNorms'].min():.2f} … "
          f"{single['gradientNorms'].max():.2f}, fp32 against fp64 {apart:.1e}, final {final_apart:.1e}")


if __name__ == "__main__":
    classes = [index * 2 % 3 for index in range(INSTANCES)]
    make("lm", "opt", lm, lambda _: 1, lambda _: [-1] * INSTANCES)
    make("classification", "opt-classification", classification, lambda _: 1, lambda _: classes)
    # The same with a limit that some steps exceed and some do not.
    make("classification-clip-4", "opt-classification", classification, lambda _: 1, lambda _: classes, clip=4.0)
    make("choice", "gpt-neox-choice", choice, lambda index: 2 + index % 3, lambda counts: [index % count for index, count in enumerate(counts)])
