/** Who pays the routing fee of a refund: whoever chooses it (economy.md §5). Pure; all figures in whole sats. */

/**
 * The routing fees that the operator pays on a refund: no more than the job or session has earned him over its life, since
 * the payee chooses the fee of his last hops. Never below 0.
 * @param input.chargesSats what the payer was charged, evaluation fees included
 * @param input.feesSats routing fees paid or reserved before, for the same job or session
 */
export const feeCredit = (input: {
  maxFeeSats: number;
  chargesSats: number;
  modelCostSats: number;
  poolShareSats: number;
  feesSats: number;
}): number =>
  Math.max(
    0,
    Math.min(input.maxFeeSats, input.chargesSats - input.modelCostSats - input.poolShareSats - input.feesSats),
  );

/** The most that a payer's invoice may leave for the routing fee: the larger of 10 sats and 5 %, and never all of it. */
export const maxFeeReserve = (owedSats: number): number =>
  Math.max(0, Math.min(owedSats - 1, Math.max(10, Math.floor(owedSats / 20))));

/**
 * The least that must be left so that a route of `routeFeeSats` can be paid; null when not even the most would do.
 * @param creditSats what the operator pays of it
 */
export function reserveFor(owedSats: number, creditSats: number, routeFeeSats: number): number | null {
  const reserve = Math.max(0, routeFeeSats - creditSats);
  return reserve <= maxFeeReserve(owedSats) ? reserve : null;
}

/** Who bears a routing fee that was paid: the reserve first, then the operator. What the reserve had more is unused. */
export function splitFee(reserveSats: number, feeSats: number) {
  const fromReserve = Math.min(reserveSats, feeSats);
  return { fromReserve, fromOperator: feeSats - fromReserve, unused: reserveSats - fromReserve };
}
