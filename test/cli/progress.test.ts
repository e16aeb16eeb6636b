import { progressSteps } from "../../lib/cli/progress";
import { duration } from "../../lib/study/duration";

function recorded(isTTY: boolean, columns = 80) {
  let [written, time] = ["", 0];
  const stream = {
    isTTY,
    columns,
    write: (text: string) => {
      written += text;
    },
  };
  return {
    start: progressSteps({ stream, now: () => time }),
    wait: (milliseconds: number) => {
      time += milliseconds;
    },
    written: () => written,
  };
}

describe("progress", () => {
  test("on a terminal is one line that redraws itself with the time left", () => {
    const { start, wait, written } = recorded(true);
    const step = start("Fine-tuning");
    step.onProgress({ done: 0, total: 100, stage: "epoch 1" });
    wait(5000);
    step.onProgress({ done: 25, total: 100, stage: "epoch 1" });
    wait(15_000);
    step.done("accuracy 0.91");
    const lines = written().split("\r\u001b[2K");
    expect(lines).toHaveLength(5);
    expect(lines[3]).toBe("  Fine-tuning ██████░░░░░░░░░░░░░░░░░░  25 %, 5.0/s, 15 s left  epoch 1");
    expect(lines[4]).toBe("✓ Fine-tuning (20 s): accuracy 0.91\n");
  });

  test("on a terminal redraws at most every 80 ms and never beyond its width", () => {
    const { start, wait, written } = recorded(true, 30);
    const step = start("A step with a title that is much too long");
    for (let done = 0; done < 1000; done++) {
      wait(1);
      step.onProgress({ done, total: 1001, stage: "x" });
    }
    const lines = written().split("\r\u001b[2K").slice(1);
    expect(lines.length).toBeLessThan(16);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(29);
  });

  test("on a terminal that does not know its width has 80 columns", () => {
    const { start, written } = recorded(true, 0);
    start("Fine-tuning").done("accuracy 0.91");
    expect(written()).toContain("✓ Fine-tuning (0.0 s): accuracy 0.91");
  });

  test("of a download is in megabytes", () => {
    const { start, wait, written } = recorded(true);
    const step = start("Loading someone/tiny");
    step.onProgress({ done: 0, total: 40e6, stage: "download" });
    wait(2000);
    step.onProgress({ done: 10e6, total: 40e6, stage: "download" });
    expect(written()).toContain("25 %, 5.0 MB/s, 6.0 s left");
  });

  test("elsewhere writes nothing", () => {
    const { start, wait, written } = recorded(false);
    const step = start("Influence");
    wait(60_000);
    step.onProgress({ done: 1, total: 40, stage: "queries" });
    step.done("done");
    expect(written()).toBe("");
  });

  test.each([
    [870, "0.9 s"],
    [9960, "10 s"],
    [59_400, "59 s"],
    [187_000, "3:07 min"],
    [3_729_000, "1:02:09 h"],
  ])("%d ms are %s", (milliseconds, words) => {
    expect(duration(milliseconds)).toBe(words);
  });
});
