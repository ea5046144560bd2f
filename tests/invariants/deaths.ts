import fc from "fast-check";

/** The process dies at one of its next commits. @param within of so many */
export const deathAtCommit = (weight: number, within: number) => ({
  weight,
  arbitrary: fc.record({
    act: fc.constant("die at commit"),
    in: fc.integer({ min: 1, max: within }),
    when: fc.constantFrom("before", "after"),
  }),
});

/** The same, or now. */
export const deaths = (weight: number, within: number) => [
  { weight: 1, arbitrary: fc.record({ act: fc.constant("crash") }) },
  deathAtCommit(weight, within),
];
