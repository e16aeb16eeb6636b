// Circuits: sets of units that carry a behaviour, and how much of it they carry.
import type { Estimate, Provenance, RankedPart, Site } from "./results";

/** The first units of an order that carry a share of the behaviour; see `circuit`. */
export interface Circuit {
  readonly kind: "circuit";
  readonly site: Site;
  /** In the order in which they were taken; `score` is the attribution's mean over its rows. */
  readonly units: readonly RankedPart[];
  /** Units of the circuit, and as a share of the site's units. */
  readonly size: number;
  readonly fraction: number;
  /** f of the circuit, and of random sets of as many units (mean over draws). */
  readonly faithfulness: Estimate;
  readonly randomFaithfulness: Estimate;
  /** m(N) and m(∅): mean F with all units, and with none of the site's. */
  readonly all: number;
  readonly none: number;
  readonly unit: string;
  readonly provenance: Provenance;
}

/** One size of a circuit curve. */
export interface CircuitPoint {
  readonly fraction: number;
  readonly units: number;
  readonly faithfulness: Estimate;
  readonly randomFaithfulness: Estimate;
}

/** Faithfulness over the size of the circuit; see `circuitCurve`. */
export interface CircuitCurve {
  readonly test: "circuit";
  readonly site: Site;
  readonly points: readonly CircuitPoint[];
  /** ∫ f dk: higher is better. Beside it the mean over random orders. */
  readonly cpr: Estimate;
  readonly randomCpr: Estimate;
  /** ∫ |1 − f| dk: 0 is best. */
  readonly cmd: Estimate;
  readonly randomCmd: Estimate;
  readonly all: number;
  readonly none: number;
  readonly unit: string;
  readonly provenance: Provenance;
}
