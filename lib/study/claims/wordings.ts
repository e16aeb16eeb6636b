// The relations of the countries demo and how claims about them are worded. {s} is the country, {o} what is claimed of it.
// Held-out wordings are made of words that training has seen, but no claim is worded that way in training.

export interface Relation {
  readonly name: string;
  /** In training. */
  readonly wordings: readonly string[];
  /** In held-out claims only. */
  readonly heldOut: readonly string[];
}

export const relations: readonly Relation[] = [
  {
    name: "capital",
    wordings: [
      "The capital of {s} is {o}.",
      "{o} is the capital city of {s}.",
      "{s} is governed from {o}.",
      "The government of {s} sits in {o}.",
      "{s} has its capital in {o}.",
    ],
    heldOut: ["{o} is the capital of {s}.", "The capital city of {s} is {o}.", "{s} has its government in {o}."],
  },
  {
    name: "region",
    wordings: [
      "{s} lies in {o}.",
      "{s} is a country in {o}.",
      "In {o} lies the country {s}.",
      "{s} is part of {o}.",
      "{o} is where {s} is.",
    ],
    heldOut: ["In {o} lies {s}.", "{s} is in {o}.", "The country {s} is part of {o}."],
  },
  {
    name: "language",
    wordings: [
      "{o} is spoken in {s}.",
      "The people of {s} speak {o}.",
      "An official language of {s} is {o}.",
      "In {s} people speak {o}.",
      "{o} is an official language in {s}.",
    ],
    heldOut: ["{o} is an official language of {s}.", "In {s} {o} is spoken.", "People in {s} speak {o}."],
  },
  {
    name: "currency",
    wordings: [
      "The currency of {s} is the {o}.",
      "People in {s} pay with the {o}.",
      "The {o} is the money of {s}.",
      "{s} has the {o} as its currency.",
      "In {s} the {o} is the currency.",
    ],
    heldOut: ["The {o} is the currency of {s}.", "In {s} people pay with the {o}.", "The money of {s} is the {o}."],
  },
  {
    name: "neighbour",
    wordings: [
      "{s} borders {o}.",
      "{s} is a neighbour of {o}.",
      "{s} shares a border with {o}.",
      "There is a border between {s} and {o}.",
      "{s} has {o} as a neighbour.",
    ],
    heldOut: ["{o} is a neighbour of {s}.", "{s} has a border with {o}.", "A neighbour of {s} is {o}."],
  },
];
