/** A straight line through measured points. */
export interface Trend {
  readonly mean: number;
  /** What `value` grows by in a unit of `at`. */
  readonly slope: number;
}

/** By least squares; of fewer than two points the slope is 0. */
export function trendOf(points: readonly { readonly at: number; readonly value: number }[]): Trend {
  const mean = (read: (point: { at: number; value: number }) => number): number =>
    points.reduce((sum, point) => sum + read(point), 0) / Math.max(1, points.length);
  const at = mean((point) => point.at);
  const value = mean((point) => point.value);
  const above = points.reduce((sum, point) => sum + (point.at - at) * (point.value - value), 0);
  const below = points.reduce((sum, point) => sum + (point.at - at) ** 2, 0);
  return { mean: value, slope: below === 0 ? 0 : above / below };
}
