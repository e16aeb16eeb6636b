import type { Estimate } from "./results";

/** A report as data; `renderReport` makes the page. All texts are plain text. */
export interface Report {
  readonly title: string;
  /** What was asked and what came out, in a sentence or two. */
  readonly summary: string;
  /** What the reader needs to place the numbers: model, data, seeds, versions. */
  readonly facts: readonly { readonly name: string; readonly value: string }[];
  readonly sections: readonly ReportSection[];
}

export interface ReportSection {
  readonly title: string;
  /** One or two sentences for someone who knows the paper but not the code. */
  readonly explanation: string;
  readonly blocks: readonly ReportBlock[];
}

export type ReportBlock = ReportText | ReportTable | LinePlot | BarPlot | HeatMap | InstanceCards;

export interface ReportText {
  readonly kind: "text";
  readonly text: string;
}

/** A text, a number, a mean with its interval, or nothing to show. */
export type Cell = string | number | Estimate | null;

export interface TableColumn {
  readonly label: string;
  /** Shown behind the label. */
  readonly unit?: string;
  /** Digits after the point. @default enough for three significant ones of the column's largest number */
  readonly digits?: number;
}

export interface ReportTable {
  readonly kind: "table";
  readonly caption: string;
  readonly columns: readonly TableColumn[];
  /** One cell per column. */
  readonly rows: readonly (readonly Cell[])[];
  readonly notes?: readonly string[];
}

export interface PlotAxis {
  /** Quantity and unit, e.g. "Units kept (r)". */
  readonly label: string;
  /** @default "linear" */
  readonly scale?: "linear" | "log";
  /** "percent" shows 0.1 as 10 %. @default "number" */
  readonly format?: "number" | "percent";
}

export interface PlotPoint {
  readonly x: number;
  readonly y: number;
  /** Interval around y; drawn as a band. */
  readonly low?: number;
  readonly high?: number;
}

export interface LineSeries {
  readonly label: string;
  /** A control is drawn grey and dashed. @default "method" */
  readonly role?: "method" | "control";
  readonly points: readonly PlotPoint[];
}

/** Curves with interval bands. Points whose y is not finite are left out. */
export interface LinePlot {
  readonly kind: "lines";
  readonly title: string;
  readonly caption?: string;
  readonly x: PlotAxis;
  readonly y: PlotAxis;
  readonly series: readonly LineSeries[];
}

export interface BarSeries {
  readonly label: string;
  /** A control is drawn grey. @default "method" */
  readonly role?: "method" | "control";
  /** One per category. */
  readonly values: readonly (number | Estimate)[];
}

/** Bars per category, side by side: layers, methods. */
export interface BarPlot {
  readonly kind: "bars";
  readonly title: string;
  readonly caption?: string;
  /** What the categories are. */
  readonly x: { readonly label: string };
  readonly y: Omit<PlotAxis, "scale">;
  readonly categories: readonly string[];
  readonly series: readonly BarSeries[];
}

/** A grid of values by colour; positive and negative values differ in hue. */
export interface HeatMap {
  readonly kind: "heatMap";
  readonly title: string;
  readonly caption?: string;
  readonly x: { readonly label: string };
  readonly y: { readonly label: string };
  readonly columns: readonly string[];
  readonly rows: readonly string[];
  /** [row][column]; null is left blank. */
  readonly values: readonly (readonly (number | null)[])[];
  /** What a value is, for the legend. */
  readonly valueLabel: string;
  /** @default "number" */
  readonly format?: "number" | "percent";
}

/** Queries in full text with what each method attributes them to. */
export interface InstanceCards {
  readonly kind: "instances";
  readonly cards: readonly InstanceCard[];
  /** One query at a time, with search, sort and filters, instead of one below the other. @default false */
  readonly browse?: boolean;
  /** What the highlight of `isTrue` entries means. @default "states the fact asked for" */
  readonly truthLabel?: string;
}

export interface InstanceEntry {
  readonly id: string;
  readonly text: string;
  readonly score: number;
  /** Of the sum of absolute scores over all training instances, 0–1: comparable between methods. */
  readonly share?: number;
  readonly label?: string;
  readonly isTrue?: boolean;
  /** The entry's tokens with their parts of the score (`breakdown` by token), shown shaded in place of the text. */
  readonly words?: readonly { readonly text: string; readonly score: number }[];
}

export interface InstanceCard {
  readonly id: string;
  readonly text: string;
  readonly prediction: { readonly label: string; readonly probability?: number };
  /** The gold label, where known. */
  readonly label?: string;
  /** What a browser filters by, e.g. the relation. */
  readonly group?: string;
  /** Whether the two views disagree on it. */
  readonly isConflict?: boolean;
  /** Top training instances by method, best first. */
  readonly instances: readonly {
    readonly method: string;
    /** What a score of 1 means. */
    readonly unit?: string;
    readonly entries: readonly InstanceEntry[];
    /** The lowest ones, the lowest first. */
    readonly bottom?: readonly InstanceEntry[];
  }[];
  /** Top units by method, best first. */
  readonly neurons: readonly {
    readonly method: string;
    readonly unit?: string;
    readonly entries: readonly UnitEntry[];
  }[];
}

export interface UnitEntry {
  readonly layer: number;
  readonly unit: number;
  readonly score: number;
  /** @default false: an MLP neuron */
  readonly isHead?: boolean;
  /** What the unit writes, best first. */
  readonly tokens?: readonly string[];
}
